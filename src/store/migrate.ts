import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runner } from "node-pg-migrate";
import type pg from "pg";
import { ConfigError, UpstreamError } from "../errors.ts";
import { packageRoot } from "../package-root.ts";
import { functionsIn, functionsOf, writeFunctions } from "./functions.ts";
import { buildIndexes } from "./indexes.ts";
import { toUpstreamError } from "./outage.ts";
import { query } from "./pool.ts";
import { openClient, requireSession, SESSION } from "./session.ts";
import { analyzeUnknown } from "./statistics.ts";

interface SchemaState {
  /** Migrations that the code has and the database does not. */
  missing: string[];
  /** Migrations that the database has and the code does not, but for all of the former ones, which `migrate` takes over. */
  unknown: string[];
  /** Whether the database has the functions of the code. */
  functions: boolean;
}

/**
 * Brings the database to the schema of this version; several processes may call it at once.
 *
 * @param told what it may not do, and an administrator has to; each time anew.
 * @returns the migrations that were applied, in order; "functions" last, where these were replaced.
 * @throws {ConfigError} when the database is newer than this version, or too old for it.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE when Postgres goes away meanwhile; it may be called again.
 */
export async function migrate(
  url: string,
  queueSchema: string,
  folder = migrations(),
  told: (notice: string) => void = () => {},
): Promise<string[]> {
  const client = openClient({ connectionString: url, connectionTimeoutMillis: 10_000 });
  // what breaks fails the statement at hand, or the next one
  client.on("error", () => {});
  await requireSession(url);
  await client.connect().catch((cause: unknown) => {
    throw toUpstreamError(cause);
  });
  try {
    await client.query(SESSION);
    // what a role or a database allows its queries; transaction_timeout is of Postgres 17 and newer
    await client.query(
      "select set_config(name, '0', false) from pg_settings where name in ('statement_timeout', 'transaction_timeout')",
    );
    await lock(client);
    await takeOver(client, folder);
    const state = await compare(client, folder);
    refuseUnknown(state);
    const notices = new Set<string>();
    client.on("notice", ({ routine, message = "" }) => {
      // Postgres has notices of its own
      if (routine === RAISED) notices.add(message);
    });
    await untilUnlocked(client, async () => {
      // all or nothing: what runs meanwhile never finds tables without their functions, nor functions without their rights
      await client.query("begin");
      await runner({
        dbClient: inTransactionOf(client),
        dir: folder,
        direction: "up",
        migrationsTable: TABLE,
        singleTransaction: true,
        noLock: true,
        log: () => {},
      });
      if (!state.functions || state.missing.length > 0) await writeFunctions(client, functionsOf(folder));
      await client.query("select grant_roles($1)", [queueSchema]);
      await client.query("commit");
    });
    // first, as indexes of large tables may take hours
    await analyzeUnknown(client);
    await buildIndexes(client);
    for (const notice of [await rolesToMake(client), ...notices]) if (notice) told(notice);
    return state.functions ? state.missing : [...state.missing, "functions"];
  } catch (cause) {
    throw toUpstreamError(cause);
  } finally {
    await client.end();
  }
}

/**
 * Compares the database with this version's migrations; changes nothing.
 *
 * @throws {ConfigError} when they differ, saying which command mends it.
 */
export async function requireSchema(db: pg.Pool, folder = migrations()): Promise<void> {
  const state = await compare(db, folder);
  refuseUnknown(state);
  if (state.missing.length > 0) {
    throw new ConfigError(`the database lacks ${state.missing.join(", ")}: run maitred migrate first`);
  }
  if (!state.functions) {
    throw new ConfigError(
      "the database has the functions of another version: run maitred migrate of this one first",
    );
  }
}

/** What an administrator has to do where roles could not be made, for want of the right to; undefined where they are there. */
export async function rolesToMake(db: pg.Pool | pg.Client): Promise<string | undefined> {
  const missing = await query<{ name: string }>(db, {
    text: "select name from unnest($1::text[]) as name where to_regrole(name) is null",
    values: [["maitred_migrator", "maitred_worker", "maitred_dashboard"]],
  });
  if (missing.length === 0) return undefined;
  const names = missing.map(({ name }) => name);
  const made = names.map((name) => `create role ${name} nologin`).join("; ");
  return `there is no ${names.join(", ")}, to give logins the rights of: let a role with createrole run "${made}", then run maitred migrate again`;
}

async function compare(db: pg.Pool | pg.Client, folder: string): Promise<SchemaState> {
  const known = namesIn(folder);
  const applied = await namesOf(db);
  return {
    missing: known.filter((name) => !applied.includes(name)),
    unknown: applied.includes(FORMER.last) ? [] : applied.filter((name) => !known.includes(name)),
    functions: (await functionsIn(db)) === functionsOf(folder).digest,
  };
}

function namesIn(folder: string): string[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(".sql"));
  return files.map((file) => file.replace(/\.sql$/, "")).sort();
}

async function namesOf(db: pg.Pool | pg.Client): Promise<string[]> {
  const [table] = await query<{ found: boolean }>(db, {
    text: "select to_regclass($1) is not null as found",
    values: [TABLE],
  });
  if (!table!.found) return [];
  const rows = await query<{ name: string }>(db, { text: `select name from ${TABLE} order by id` });
  return rows.map((row) => row.name);
}

/** Of a database that the former migrations made, all of them: says that it has what the baseline would have made. */
async function takeOver(client: pg.Client, folder: string): Promise<void> {
  if (!(await namesOf(client)).includes(FORMER.last)) return;
  const [rollups] = await query<{ built: boolean }>(client, {
    text: "select built_at is not null as built from rollups",
  });
  if (!rollups!.built) throw unfinished();
  await client.query(
    `with former as (delete from ${TABLE})
    insert into ${TABLE} (name, run_on) select name, now() from unnest($1::text[]) with ordinality as n (name, place) order by place`,
    [namesIn(folder).filter((name) => name <= BASELINE_LAST)],
  );
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

/**
 * Works where it gets its locks soon, and begins again where it does not: while a statement waits for the lock of a table,
 * everybody who writes to that table waits behind it.
 *
 * @throws {UpstreamError} DATABASE_UNAVAILABLE where somebody holds a table for minutes.
 */
async function untilUnlocked<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(
    `select set_config('lock_timeout', (setting::integer + ${BEYOND_MS})::text, false) from pg_settings where name = 'deadlock_timeout'`,
  );
  for (let tries = 1; ; tries++) {
    try {
      const result = await work();
      await client.query("set lock_timeout = 0");
      return result;
    } catch (cause) {
      // a deadlock is a lock that was not to be had, too
      const { code } = cause as { code?: unknown };
      if (code !== "55P03" && code !== "40P01") throw cause;
      if (tries === LOCK_TRIES) {
        throw new UpstreamError(
          "DATABASE_UNAVAILABLE",
          "somebody holds a table that the migration needs: end long transactions, or let an autovacuum end that is to prevent wraparound, as it is not cancelled (pg_stat_activity shows both), and run it again",
          { cause },
        );
      }
      // the runner leaves its transaction open
      await client.query("rollback");
      await sleep(LOCK_PAUSE_MS);
    }
  }
}

/** For the runner, which would begin and commit itself. */
function inTransactionOf(client: pg.Client): pg.Client {
  const within = Object.create(client) as pg.Client;
  const ask = client.query.bind(client) as (...asked: unknown[]) => Promise<unknown>;
  const skip = async (): Promise<unknown> => ({ rows: [] });
  const query = (...asked: unknown[]): Promise<unknown> =>
    OUTER.includes(String(asked[0])) ? skip() : ask(...asked);
  return Object.assign(within, { query });
}

/** Those of this version. */
function migrations(): string {
  return join(packageRoot(), "migrations");
}

function refuseUnknown({ unknown }: SchemaState): void {
  if (unknown.length === 0) return;
  if (unknown.includes(FORMER.first)) throw unfinished();
  throw new ConfigError(
    `the database has ${unknown.join(", ")}, which this version does not know: use a newer maitred`,
  );
}

function unfinished(): ConfigError {
  return new ConfigError(
    `the database has former migrations, and was not migrated to the end of them: run maitred migrate of the last version that has ${FORMER.last} first`,
  );
}

const TABLE = "pgmigrations";
/** What the runner says around all migrations. */
const OUTER = ["BEGIN", "COMMIT", "ROLLBACK"];
/** Where in Postgres the notices come from that functions raise. */
const RAISED = "exec_stmt_raise";
/** The migrations that were one after the other what the baseline is at once. It has none of their names. */
const FORMER = { first: "0001_photos", last: "0026_overtaken" };
const BASELINE_LAST = "0018_forget";
/**
 * Nobody who writes waits longer for a migration that itself waits; then they have their turn. It is beyond
 * deadlock_timeout, after which Postgres cancels an autovacuum that is in the way: on large tables one nearly always is. Of
 * a migration and a worker who wait for each other either may be the one who gives way, and each begins again.
 */
const BEYOND_MS = 500;
const LOCK_PAUSE_MS = 1_000;
const LOCK_TRIES = 60;
