import type { Scope } from "../src/lifecycle.ts";
import type { Lane, PhotoJob } from "../src/photo.ts";
import { type Attempt, type ConsumerHandlers, consume } from "../src/queue/consumer.ts";
import { openQueues } from "../src/queue/queues.ts";
import { openQueueServer, type QueueServer } from "../src/queue/server.ts";
import { type Backend, test as base } from "./fixtures.ts";
import { latch } from "./waits.ts";

export const job = (id: number): PhotoJob => ({
  id: String(id),
  store: "s3",
  bucket: "b",
  key: `k${id}`,
  version: "",
  known: {},
});

export const TRIES = { attempts: 3, backoffMs: 5, patienceMs: 0 };
export type Handle = (photo: PhotoJob, attempt: Attempt) => Promise<void>;

interface Bench {
  server: QueueServer;
  queues: ReturnType<typeof openQueues>;
  errors: Error[];
  take(
    lane: Lane,
    photo: Handle,
    over?: Partial<
      {
        concurrency: number;
        lockMs: number;
        attempts: number;
        backoffMs: number;
        patienceMs: number;
        now: () => number;
      } & ConsumerHandlers
    >,
  ): Promise<{ close(): Promise<void> }>;
}

/** Everything is closed with the scope. */
export function openBench(
  scope: Scope,
  settings: Parameters<typeof openQueueServer>[0],
  returned = () => {},
): Bench {
  const errors: Error[] = [];
  const tell = (error: Error) => void errors.push(error);
  const server = scope.hold("server", openQueueServer(settings, tell, returned));
  const queues = scope.hold("queues", openQueues(server, tell));
  return {
    server,
    queues,
    errors,
    async take(lane, photo, over = {}) {
      const {
        concurrency = 4,
        lockMs = 5_000,
        attempts,
        backoffMs,
        patienceMs,
        now = Date.now,
        ...rest
      } = { ...TRIES, ...over };
      const handlers = { photo, abandoned: async () => {}, error: tell, ...rest };
      const pace = { concurrency, lockMs, attempts, backoffMs, patienceMs, now };
      return scope.hold("consumer", await consume(server, lane, pace, handlers));
    },
  };
}

export const test = base.extend<{ open(backend: Backend): Bench }>({
  open: async ({ configFor, scope }, use) => {
    await use((backend) => openBench(scope, configFor(backend)));
  },
});

/** Collects until `enough`, which `done` waits for. */
export function collector<T>(enough: number): { items: T[]; push(item: T): void; done: Promise<void> } {
  const items: T[] = [];
  const { promise, resolve } = latch();
  return {
    items,
    push(item) {
      items.push(item);
      if (items.length === enough) resolve();
    },
    done: promise,
  };
}
