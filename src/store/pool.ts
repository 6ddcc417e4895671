import pg from "pg";
import { UpstreamError } from "../errors.ts";

export type Pool = pg.Pool;

/** The pool, or one of its connections, for what may be part of a transaction. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/** Connections to Postgres. A connection that breaks while idle is replaced, and told to `onError`. */
export function connect(url: string, onError: (error: Error) => void, max = 8): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 10_000,
    // a statement that hangs must not hold a group of photos for ever
    statement_timeout: 60_000,
    application_name: "maitred",
    // a role and a schema of the same name would otherwise hide the tables
    options: "-c search_path=public",
    keepAlive: true,
  });
  pool.on("error", onError);
  return pool;
}

/**
 * Runs one statement on behalf of the line.
 *
 * @throws {UpstreamError} DATABASE_UNAVAILABLE when Postgres could not be reached or is going away.
 */
export async function query<Row extends pg.QueryResultRow>(
  db: Queryable,
  statement: pg.QueryConfig,
): Promise<Row[]> {
  try {
    return (await db.query<Row>(statement)).rows;
  } catch (cause) {
    throw named(cause);
  }
}

/**
 * Lends one connection for statements that belong together. After a failure it is closed, which ends its transaction.
 *
 * @throws {UpstreamError} as `query` does.
 */
export async function connection<T>(db: Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  let client: pg.PoolClient | undefined;
  // what breaks between two statements fails the next one
  const ignore = (): void => {};
  try {
    client = await db.connect();
    client.on("error", ignore);
    const result = await work(client);
    client.off("error", ignore);
    client.release();
    return result;
  } catch (cause) {
    client?.release(true);
    throw named(cause);
  }
}

/** Whatever a statement threw, as an UpstreamError where it says nothing of the statement. */
export function named(cause: unknown): unknown {
  if (!isOutage(cause)) return cause;
  return new UpstreamError("DATABASE_UNAVAILABLE", `Postgres: ${(cause as Error).message}`, { cause });
}

/** What goes away by itself: no connection, a server that stops or is full, a lost race between transactions. */
function isOutage(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown }).code;
  // node-postgres gives a lost connection no code
  if (typeof code !== "string") return /connection|timeout/i.test(String((thrown as Error).message));
  return /^(08|53|57|40|25006|ECONN|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN)/.test(code);
}
