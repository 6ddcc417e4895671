import type { Database } from "./fixtures.ts";

/** Resolves once so many statements of the database wait for locks that others hold. */
export async function waitersIn(db: Database, atLeast = 1): Promise<void> {
  const waits =
    "select from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0";
  while ((await db.pool.query(waits)).rows.length < atLeast) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
