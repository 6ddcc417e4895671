import { UpstreamError } from "./errors.ts";
import type { Closable } from "./lifecycle.ts";
import type { Lane } from "./photo.ts";

/**
 * Does the work of one batch: the answer's slot i is for item i. An Error in a slot fails that item alone, a
 * throw fails the whole batch.
 */
type RunBatch<In, Out> = (items: In[]) => Promise<readonly (Out | Error)[]>;

interface BatchLimits {
  maxSize: number;
  /** Milliseconds from when the oldest waiting item arrived; its batch then leaves although one is running. */
  maxWaitMs: number;
  /** Batches that are worked on at the same time; while fewer run, the next one leaves at once. */
  workers: number;
  /** Batches that may be under way at once: one more than `workers` keeps the next ready at their door. */
  maxRunning: number;
}

interface Batcher<In, Out> extends Closable {
  add(item: In, lane: Lane): Promise<Out>;
}

interface Entry<In, Out> {
  item: In;
  since: number;
  resolve(value: Out): void;
  reject(error: unknown): void;
}

/**
 * Turns calls for one item into calls for many.
 *
 * A batch leaves at once while fewer than `workers` run. While they are busy, the next one leaves when it is full or
 * its oldest item has waited `maxWaitMs`, as long as fewer than `maxRunning` are under way. Live items go first into every
 * batch; backfill items fill what is left; within a lane the oldest goes first.
 *
 * Its memory is bounded by its callers: each holds one item until it is answered. `close` sends what is waiting
 * and waits for what is running; `add` after `close` rejects with CLOSED.
 */
export function createBatcher<In, Out>(run: RunBatch<In, Out>, limits: BatchLimits): Batcher<In, Out> {
  const lanes: Record<Lane, Entry<In, Out>[]> = { live: [], backfill: [] };
  const running = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const waiting = (): number => lanes.live.length + lanes.backfill.length;

  function take(): Entry<In, Out>[] {
    const batch = lanes.live.splice(0, limits.maxSize);
    return batch.concat(lanes.backfill.splice(0, limits.maxSize - batch.length));
  }

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    while (waiting() > 0 && running.size < limits.maxRunning) {
      const waitMs = oldest() + limits.maxWaitMs - performance.now();
      if (running.size >= limits.workers && waiting() < limits.maxSize && waitMs > 0 && !closed) {
        timer = setTimeout(send, Math.ceil(waitMs));
        return;
      }
      const done: Promise<void> = settle(take(), run).finally(() => {
        running.delete(done);
        send();
      });
      running.add(done);
    }
  }

  function oldest(): number {
    return Math.min(
      lanes.live[0]?.since ?? Number.POSITIVE_INFINITY,
      lanes.backfill[0]?.since ?? Number.POSITIVE_INFINITY,
    );
  }

  return {
    add(item, lane) {
      if (closed) return Promise.reject(new UpstreamError("CLOSED", "the batcher is closed"));
      return new Promise((resolve, reject) => {
        lanes[lane].push({ item, since: performance.now(), resolve, reject });
        send();
      });
    },
    async close() {
      closed = true;
      send();
      while (running.size > 0) await Promise.all(running);
    },
  };
}

async function settle<In, Out>(batch: Entry<In, Out>[], run: RunBatch<In, Out>): Promise<void> {
  try {
    const results = await run(batch.map((entry) => entry.item));
    if (results.length !== batch.length)
      throw new Error(`expected ${batch.length} results, got ${results.length}`);
    for (const [index, entry] of batch.entries()) {
      const result = results[index]!;
      if (result instanceof Error) entry.reject(result);
      else entry.resolve(result);
    }
  } catch (error) {
    for (const entry of batch) entry.reject(error);
  }
}
