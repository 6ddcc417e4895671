import { inspect } from "node:util";
import type { Database } from "./fixtures.ts";

/** A promise that a test resolves. */
export function latch(): { promise: Promise<void>; resolve(): void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** What is read, once it holds: of what another process commits, or a server tells, there is no event. */
export async function until<T>(read: () => Promise<T>, holds: (value: T) => unknown = Boolean): Promise<T> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`waited in vain, and read at last ${inspect(value, { depth: 4 })}`);
    // without a pause, asking takes a core from what is waited for
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Resolves once so many statements of the database wait for locks that others hold. */
export async function waitersIn(db: Database, atLeast = 1): Promise<void> {
  const waits =
    "select from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0";
  await until(async () => (await db.pool.query(waits)).rows.length >= atLeast);
}

/** Of what hangs, not of a slow machine: some wait for what comes twice a minute. */
const LIMIT_MS = 60_000;
