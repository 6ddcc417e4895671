import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { runner } from "node-pg-migrate";
import pg from "pg";
import { ConfigError } from "../errors.ts";
import { buildIndexes } from "./indexes.ts";

export interface SchemaState {
  /** Migrations that the code has and the database does not. */
  missing: string[];
  /** Migrations that the database has and the code does not. */
  unknown: string[];
}

/**
 * Brings the database to the schema of this version; several processes may call it at once.
 *
 * @returns the migrations that were applied, in order.
 * @throws {ConfigError} SCHEMA_MISMATCH when the database is newer than this version.
 */
export async function migrate(url: string, folder: string, queueSchema: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, options: "-c search_path=public" });
  await client.connect();
  try {
    await lock(client);
    refuseNewer(await compare(client, folder));
    const applied = await runner({
      dbClient: client,
      dir: folder,
      direction: "up",
      migrationsTable: TABLE,
      noLock: true,
      log: () => {},
    });
    await buildIndexes(client);
    await client.query("select grant_roles($1)", [queueSchema]);
    return applied.map((migration) => migration.name);
  } finally {
    await client.end();
  }
}

/**
 * Compares the database with this version's migrations; changes nothing.
 *
 * @throws {ConfigError} SCHEMA_MISMATCH when they differ, saying which command mends it.
 */
export async function requireSchema(db: pg.Pool, folder: string): Promise<void> {
  const state = await compare(db, folder);
  refuseNewer(state);
  if (state.missing.length > 0) {
    throw new ConfigError(
      "SCHEMA_MISMATCH",
      `the database lacks ${state.missing.join(", ")}: run maitred migrate first`,
    );
  }
}

export async function compare(db: pg.Pool | pg.Client, folder: string): Promise<SchemaState> {
  const known = readdirSync(folder)
    .filter((file) => file.endsWith(".sql"))
    .map((file) => file.replace(/\.sql$/, ""))
    .sort();
  const { rows: found } = await db.query<{ found: boolean }>("select to_regclass($1) is not null as found", [
    TABLE,
  ]);
  const { rows } = found[0]?.found
    ? await db.query<{ name: string }>(`select name from ${TABLE} order by id`)
    : { rows: [] };
  const applied = rows.map((row) => row.name);
  return {
    missing: known.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !known.includes(name)),
  };
}

/** Such as "Postgres 18.4"; one older than 14 is refused. */
export async function serverVersion(db: pg.Pool): Promise<string> {
  const { rows } = await db.query<{ server_version: string }>("show server_version");
  const version = rows[0]!.server_version;
  if (Number.parseInt(version, 10) >= 14) return `Postgres ${version}`;
  throw new ConfigError("SCHEMA_MISMATCH", `expected Postgres 14 or newer, got ${version}`);
}

/**
 * node-pg-migrate's own lock fails at once; this one waits for the rival to finish. It asks again and again: a statement
 * that waits would itself be waited for by the rival that builds an index concurrently, in a circle.
 */
async function lock(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ held: boolean }>(
      "select pg_try_advisory_lock(hashtext('maitred migrate')) as held",
    );
    if (rows[0]!.held) return;
    await sleep(100);
  }
}

function refuseNewer({ unknown }: SchemaState): void {
  if (unknown.length === 0) return;
  throw new ConfigError(
    "SCHEMA_MISMATCH",
    `the database has ${unknown.join(", ")}, which this version does not know: use a newer maitred`,
  );
}

const TABLE = "pgmigrations";
