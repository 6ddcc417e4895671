import { useEffect, useState } from "preact/hooks";
import { get } from "../api.ts";
import { queue, waiting } from "../live.ts";
import type { Kind, Throughput } from "../types.ts";
import { Icon } from "../ui/icon.tsx";
import { heat } from "../ui/picture.tsx";
import { KIND_WORDS, number } from "../words.ts";
import { useWork } from "../work.ts";
import { open } from "./list.ts";

export function Toolbar({ onHelp }: { onHelp(): void }) {
  const { eyes, store } = useWork();
  const blurs = eyes.blurs.value;
  return (
    <div class="toolbar">
      <h1>
        Review <span class="soft small number">{open(store.items.value).length} in hand</span>
      </h1>
      <Kinds />
      <Pace />
      <div class="toolbar-switches">
        <button
          type="button"
          aria-pressed={blurs}
          onClick={() => eyes.setBlur(!blurs)}
          title="Blur what is hidden for a human"
        >
          <Icon name="hide" /> Blur
        </button>
        <button
          type="button"
          aria-pressed={heat.value}
          aria-keyshortcuts="m"
          onClick={() => {
            heat.value = !heat.peek();
          }}
          title="Where the model sees a human (m)"
        >
          <Icon name="heat" /> Heat map
        </button>
        <button type="button" class="icon" aria-label="Keys and help" aria-keyshortcuts="?" onClick={onHelp}>
          ?
        </button>
      </div>
    </div>
  );
}

/** What is asked for; the figures are of what waits, whoever holds it. */
function Kinds() {
  const { claims } = useWork();
  const kinds = queue.value?.kinds;
  const choice = (kind: Kind | undefined, words: string, many: number | undefined) => (
    <button
      key={words}
      type="button"
      class="small"
      aria-pressed={claims.kind.value === kind}
      onClick={() => claims.kind.peek() !== kind && void claims.only(kind)}
    >
      {words}{" "}
      {many !== undefined && <span class="number soft">{many >= 10_000 ? "10,000+" : number(many)}</span>}
    </button>
  );
  return (
    <fieldset class="kinds" aria-label="Which photos">
      {choice(undefined, "All", waiting.value)}
      {Object.entries(KIND_WORDS).map(([kind, words]) => choice(kind as Kind, words, kinds?.[kind as Kind]))}
    </fieldset>
  );
}

/** How fast this goes: by the clock of this page, and as the server counts. */
function Pace() {
  const { store, outbox } = useWork();
  const [served, setServed] = useState<Throughput>();
  const settled = outbox.waiting.value.length === 0;
  const decided = store.times.value.length;
  useEffect(() => {
    if (!settled) return;
    const gone = new AbortController();
    const ask = (): void =>
      void get<Throughput>("review/throughput", {}, gone.signal).then(setServed, () => {});
    // what is decided in quick succession is asked for once
    const soon = setTimeout(ask, 500);
    const timer = setInterval(ask, 60_000);
    return () => {
      clearTimeout(soon);
      clearInterval(timer);
      gone.abort();
    };
  }, [settled, decided]);
  const lately = store.times.value.filter((time) => time > Date.now() - WINDOW_MS);
  const minutes = Math.max(
    1,
    Math.min(WINDOW_MS, Date.now() - (store.times.value[0] ?? Date.now())) / 60_000,
  );
  return (
    <p class="pace small number">
      <span>
        <b>{number(decided)}</b> decided
      </span>
      <span>
        <b>{Math.round(lately.length / minutes)}</b>/min
      </span>
      {served && (
        <span>
          <b>{number(served.lastHour)}</b> last hour
        </span>
      )}
    </p>
  );
}

const WINDOW_MS = 5 * 60_000;
