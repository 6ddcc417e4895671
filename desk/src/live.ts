import { computed, effect, signal } from "@preact/signals";
import { get } from "./api.ts";
import type { Operating, Queue } from "./types.ts";

/** How much waits, as the server last said; undefined until it has. */
export const queue = signal<Queue | undefined>(undefined);
/** Photos that wait, of all kinds together. */
export const waiting = computed(
  () => queue.value && Object.values(queue.value.kinds).reduce((sum, each) => sum + (each ?? 0), 0),
);
/** How everything runs, as the server last said to a page that watches; undefined until it has. */
export const operating = signal<Operating | undefined>(undefined);
/** Whether the server is heard from. */
export const connected = signal(true);

const watched = signal(false);

/** Has the server tell `operating` too, until the returned function is called. */
export function watchOperating(): () => void {
  watched.value = true;
  return () => {
    watched.value = false;
    operating.value = undefined;
  };
}

/**
 * Listens until the returned function is called. Where nothing is heard it asks: a proxy may hold back what is streamed.
 *
 * @param refused the server may not know who this is any more.
 */
export function listen(refused: () => void): () => void {
  // a single connection, whatever is watched: browsers open only a few to a server
  return effect(() => listenTo(watched.value, refused));
}

function listenTo(wholly: boolean, refused: () => void): () => void {
  const gone = new AbortController();
  let source: EventSource | undefined;
  let heardAt = Date.now();
  let patienceMs = FIRST_PATIENCE_MS;

  /** Not in a tab that nobody sees: a browser opens six connections to a server, and many tabs would leave none. */
  function open(): void {
    source?.close();
    source = undefined;
    if (document.hidden) return;
    const opened = new EventSource(wholly ? "/desk/api/live?with=operate" : "/desk/api/live");
    const on = (name: string, tell: (data: string) => void): void =>
      opened.addEventListener(name, (event) => {
        heardAt = Date.now();
        patienceMs = PATIENCE_MS;
        connected.value = true;
        tell((event as MessageEvent<string>).data);
      });
    on("beat", () => {});
    on("queue", (data) => {
      queue.value = JSON.parse(data) as Queue;
    });
    on("operate", (data) => {
      operating.value = JSON.parse(data) as Operating;
    });
    opened.addEventListener("end", refused);
    opened.addEventListener("open", () => {
      connected.value = true;
    });
    opened.addEventListener("error", () => {
      connected.value = false;
      // the browser connects again by itself, unless it was refused: as nobody, or by a proxy while the server starts
      if (opened.readyState === EventSource.CLOSED) refused();
    });
    source = opened;
  }

  async function ask(): Promise<void> {
    try {
      const [waits, runs] = await Promise.all([
        get<Queue>("review/queue", {}, gone.signal),
        wholly ? get<Operating>("operate", {}, gone.signal) : undefined,
      ]);
      queue.value = waits;
      if (runs) operating.value = runs;
      connected.value = true;
    } catch {
      if (!gone.signal.aborted) connected.value = false;
    }
  }

  open();
  const timer = setInterval(() => {
    if (Date.now() - heardAt < (document.hidden ? HIDDEN_PATIENCE_MS : patienceMs)) return;
    heardAt = Date.now();
    // one that never spoke may yet: all of it may come at once
    if (patienceMs === PATIENCE_MS || source?.readyState === EventSource.CLOSED) open();
    void ask();
  }, LOOK_MS);
  document.addEventListener("visibilitychange", open);
  // what was open may hang for long: a new connection tells at once
  for (const change of NETWORK) addEventListener(change, open);
  return () => {
    gone.abort();
    clearInterval(timer);
    document.removeEventListener("visibilitychange", open);
    for (const change of NETWORK) removeEventListener(change, open);
    source?.close();
  };
}

const NETWORK = ["offline", "online"] as const;
const LOOK_MS = 1_000;
/** Without a word from the server, which says something every six seconds; and at first, when it does so at once. */
const PATIENCE_MS = 15_000;
const FIRST_PATIENCE_MS = 3_000;
const HIDDEN_PATIENCE_MS = 30_000;
