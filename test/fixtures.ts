import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { test as base, inject } from "vitest";
import { type Config, readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";

export interface Database {
  url: string;
  pool: pg.Pool;
}

/** The queue backends that the suites run over; Redis is left out where none can be had, never in CI. */
export const BACKENDS = inject("redisUrl") ? (["redis", "postgres"] as const) : (["postgres"] as const);
export type Backend = (typeof BACKENDS)[number];

/** Each test gets a database of its own, cloned from the migrated template, and an empty folder. */
export const test = base.extend<{
  db: Database;
  folder: string;
  configFor(backend: Backend, env?: Record<string, string>): Config;
  /** Closed before the database goes. */
  scope: Scope;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  db: async ({}, use) => withDatabase("template", use),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "maitred-photos-"));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
  configFor: async ({ db }, use) => {
    await use((backend, env = {}) =>
      readConfig({
        DATABASE_URL: db.url,
        MAITRED_QUEUE_URL: queueUrl(backend, db),
        // databases are apart by their name, and queues in one Redis by their prefix
        MAITRED_QUEUE_PREFIX: backend === "redis" ? new URL(db.url).pathname.slice(1) : "maitred_queue",
        MAITRED_PORT: "0",
        MAITRED_LOG_LEVEL: "silent",
        ...env,
      }),
    );
  },
  scope: async ({ db: _ }, use) => {
    const scope = new Scope();
    await use(scope);
    // vitest waits for this without end, and would not say in which test
    const late = sleep(30_000, "late", { ref: false });
    if ((await Promise.race([scope.close(), late])) === "late") throw new Error("the scope did not close");
  },
});

/** A database of its own, cloned from `template`, which nobody is connected to. */
export async function withDatabase(template: string, use: (db: Database) => Promise<void>): Promise<void> {
  const server = inject("postgresUrl");
  const name = `t_${randomBytes(6).toString("hex")}`;
  // as setup.ts has it that no checkpoint waits for a disk, files are copied in half the time that a log of their pages takes
  await admin(server, `create database ${name} template ${template} ${inject("copying")}`);
  const url = server.replace(/postgres$/, name);
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on("error", () => {});
  await use({ url, pool });
  await pool.end();
  await admin(server, `drop database ${name} with (force)`);
}

/** What the statement answers with. */
// biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
export async function rows(db: Database, sql: string, ...values: unknown[]): Promise<any[]> {
  return (await db.pool.query(sql, values)).rows;
}

/** A connection of its own with a transaction that is open until it ends. */
export async function transaction({ pool }: Database) {
  const client = await pool.connect();
  await client.query("begin");
  return Object.assign(client, {
    async finish(how: "commit" | "rollback"): Promise<void> {
      await client.query(how);
      client.release();
    },
  });
}

export function queueUrl(backend: Backend, db: Database): string {
  return backend === "redis" ? inject("redisUrl") : db.url;
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
