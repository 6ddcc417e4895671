import { computed, effect, signal } from "@preact/signals";
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

/** Listens until the returned function is called. The browser connects again by itself. */
export function listen(ended: () => void): () => void {
  // a single connection, whatever is watched: browsers open only a few to a server
  return effect(() => {
    const source = new EventSource(watched.value ? "/desk/api/live?with=operate" : "/desk/api/live");
    source.addEventListener("open", () => {
      connected.value = true;
    });
    source.addEventListener("error", () => {
      connected.value = false;
    });
    source.addEventListener("queue", (event) => {
      queue.value = JSON.parse((event as MessageEvent<string>).data) as Queue;
    });
    source.addEventListener("operate", (event) => {
      operating.value = JSON.parse((event as MessageEvent<string>).data) as Operating;
    });
    source.addEventListener("end", ended);
    return () => source.close();
  });
}
