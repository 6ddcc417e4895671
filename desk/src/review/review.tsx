import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { queue, waiting } from "../live.ts";
import { duration } from "../operate/figures.ts";
import { person } from "../session.ts";
import { Grid } from "../ui/grid.tsx";
import { Icon } from "../ui/icon.tsx";
import { useKeys } from "../ui/keys.ts";
import { narrow, short } from "../ui/narrow.ts";
import { heat } from "../ui/picture.tsx";
import { useTitle } from "../ui/title.ts";
import type { CellRules } from "../ui/window.ts";
import { count, number } from "../words.ts";
import { useWork } from "../work.ts";
import { Card } from "./card.tsx";
import { Full } from "./full.tsx";
import { Help } from "./help.tsx";
import { Inspector } from "./inspector.tsx";
import { isLeft, open } from "./list.ts";
import { Toolbar } from "./toolbar.tsx";

/** The grid of photos that need a human. */
export default function ReviewPage() {
  const { store, claims } = useWork();
  const [help, setHelp] = useState(false);
  const [columns, setColumns] = useState(1);
  const [full, setFull] = useState(false);
  const items = store.items.value;
  const left = open(items).length;
  useTitle(waiting.value ? `(${number(waiting.value)}) Review` : "Review");
  useEffect(() => claims.run(), []);
  useEffect(() => void claims.fill(), [left]);
  const item = store.current.value;
  // it does not open again by itself, of a photo that comes later
  useEffect(() => void (item || setFull(false)), [item]);
  const covered = full && item !== undefined;
  useLayoutEffect(() => {
    if (!covered) return;
    // it may be another than the one from which the full window was opened
    return () => document.querySelector<HTMLElement>(".card[aria-current]")?.focus();
  }, [covered]);
  useReviewKeys({ columns, full, setFull, help: () => setHelp(true) });
  return (
    <div class="review-page">
      <Toolbar onHelp={() => setHelp(true)} />
      <div class={covered ? "review-body covered" : "review-body"}>
        {items.length > 0 ? (
          <Grid
            label="Photos to decide"
            count={items.length}
            rules={!narrow.value ? RULES : short.value ? SHORT_RULES : NARROW_RULES}
            at={store.at.value}
            // beside the grid the photo in hand is seen wherever that is scrolled to
            sight={narrow.value ? store.sight : null}
            onColumns={setColumns}
            cell={(index) => (
              <Card
                key={items[index]!.photo.id}
                item={items[index]!}
                index={index}
                of={items.length}
                current={index === store.at.value}
                selected={store.selected.value.has(items[index]!.photo.id)}
                onFull={() => setFull(true)}
              />
            )}
          >
            {left === 0 && <End />}
          </Grid>
        ) : (
          <Nothing />
        )}
        <Inspector full={full} onFull={() => setFull(true)} />
      </div>
      {covered && <Full item={item} onClose={() => setFull(false)} />}
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}

interface KeysOf {
  columns: number;
  /** Whether the photo in hand is seen in the full window. */
  full: boolean;
  setFull(full: boolean): void;
  help(): void;
}

function useReviewKeys({ columns, full, setFull, help }: KeysOf): void {
  const { eyes, store } = useWork();
  const { categories } = person.value!.settings;
  const to = Object.fromEntries(
    categories.slice(0, 4).map((name, index) => [String(index + 1), () => store.setCategory(name)]),
  );
  useKeys({
    ...to,
    j: () => store.move(1),
    k: () => store.move(-1),
    "shift+j": () => store.move(1, true),
    "shift+k": () => store.move(-1, true),
    ArrowRight: () => store.move(1),
    ArrowLeft: () => store.move(-1),
    ArrowDown: () => store.move(columns),
    ArrowUp: () => store.move(-columns),
    Home: () => store.go(0),
    End: () => store.go(store.items.peek().length - 1),
    s: () => store.decide("shown", false),
    h: () => store.decide("hidden", true),
    "shift+h": () => store.decide("hidden", null),
    n: () => store.decide("unsure", null),
    u: () => store.undo(),
    x: () => store.toggle(store.at.peek()),
    a: () => store.select(open(store.items.peek()).map(({ photo }) => photo.id)),
    Escape: () => (full ? setFull(false) : store.select([])),
    z: () => setFull(!full && store.current.value !== undefined),
    b: () => store.current.value && eyes.reveal(store.current.value.photo.id),
    m: () => {
      heat.value = !heat.peek();
    },
    "?": help,
  });
}

/** Below photos that are all decided. Why no more can be had is said above the page. */
function End() {
  const { claims, store } = useWork();
  const left = store.items.value.filter(isLeft).length;
  const [counted, setCounted] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setCounted(true), COUNTED_MS);
    return () => clearTimeout(timer);
  }, []);
  if (claims.state.value === "away") return <p class="all-done soft">Your photos went to others. {AWAY}</p>;
  if (claims.problem.value) {
    return (
      <p class="all-done">
        <button type="button" onClick={() => void claims.fill(true)}>
          Try again
        </button>
      </p>
    );
  }
  if (!claims.exhausted.value) return <p class="all-done soft">More are being fetched…</p>;
  return (
    <p class="all-done soft">
      All done{left > 0 && `, but for ${count(left, "photo")} that you left to others`}.{" "}
      {counted && <Elsewhere />}
    </p>
  );
}

/** How many wait of what is asked for, none of which this page can have. */
function Elsewhere() {
  const { claims } = useWork();
  const kind = claims.kind.value;
  const held = (kind ? queue.value?.kinds[kind] : waiting.value) ?? 0;
  if (held === 0) return <>New photos appear here by themselves.</>;
  return (
    <>
      {held >= 10_000 ? "10,000 photos or more" : count(held, "photo")} {held === 1 ? "waits" : "wait"}, and
      none for you now: others have them, or another page of yours. What they leave appears here by itself, of
      a page that is gone within {duration(person.value!.settings.leaseS)}. What you were not sure of comes
      again after a day.
    </>
  );
}

/** Before the first answer, where nothing waits, and where the server is away. */
function Nothing() {
  const { claims } = useWork();
  switch (claims.state.value) {
    case "loading":
      return (
        <div class="skeleton" role="status" aria-label="Photos are being claimed">
          {Array.from({ length: 12 }, (_, index) => (
            <i key={index} />
          ))}
        </div>
      );
    case "failed":
      return (
        <div class="blank" role="alert">
          <Icon name="offline" />
          <h2>No photos can be had for now</h2>
          <p class="soft">{claims.problem.value}</p>
          <button type="button" class="primary" onClick={() => void claims.fill(true)}>
            Try again
          </button>
        </div>
      );
    case "away":
      return (
        <div class="blank" role="status">
          <Icon name="bell" />
          <h2>Your photos went to others</h2>
          <p class="soft">{AWAY}</p>
        </div>
      );
    default:
      return (
        <div class="blank">
          <Icon name="bell" />
          <h2>Nothing waits for you</h2>
          <p class="soft">
            <Elsewhere />
            {claims.kind.value && " Other kinds may have some."}
          </p>
          {claims.kind.value && (
            <button type="button" onClick={() => void claims.only(undefined)}>
              Look at all kinds
            </button>
          )}
        </div>
      );
  }
}

const AWAY = "Nobody used this page for ten minutes. Press any key to go on.";
/** The server counts what waits every two seconds: until then it would say of what was just decided that others have it. */
const COUNTED_MS = 3_000;
const RULES: CellRules = { minWidth: 168, gap: 12, textHeight: 88 };
/** Nothing stands beside the grid there: a photo is judged by what its card shows. Two lines of it take a reason. */
const NARROW_RULES: CellRules = { minWidth: 300, gap: 12, textHeight: 72 };
/** Where a photo as wide as the screen would be higher than that. */
const SHORT_RULES: CellRules = { ...NARROW_RULES, minWidth: 250 };
