import { signal } from "@preact/signals";
import type { Queue } from "./types.ts";

/** How much waits, as the server last said; undefined until it has. */
export const queue = signal<Queue | undefined>(undefined);
/** Whether the server is heard from. */
export const connected = signal(true);

/** Listens until the returned function is called. The browser connects again by itself. */
export function listen(ended: () => void): () => void {
  const source = new EventSource("/desk/api/live");
  source.addEventListener("open", () => {
    connected.value = true;
  });
  source.addEventListener("error", () => {
    connected.value = false;
  });
  source.addEventListener("queue", (event) => {
    queue.value = JSON.parse((event as MessageEvent<string>).data) as Queue;
  });
  source.addEventListener("end", ended);
  return () => source.close();
}
