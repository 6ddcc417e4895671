import pg from "pg";
import { ConfigError } from "../errors.ts";
import { noticeLineage } from "./lineage.ts";
import { toUpstreamError } from "./outage.ts";
import { askFirst, isPooled, openClient, requireSession, SESSION } from "./session.ts";

export type Pool = pg.Pool;

/** The pool, or one of its connections, for what may be part of a transaction. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/**
 * Connections to Postgres. A connection that breaks while idle is replaced, and told to `onError`; one that
 * only reads is lent once. Behind a pooler that lends
 * sessions out each statement throws as `requireSession` does.
 *
 * @throws as `openClient` does.
 */
export function connect(url: string, onError: (error: Error) => void, max = 8): Pool {
  openClient({ connectionString: url });
  let own = false;
  const untold = new WeakSet<pg.ClientBase>();
  const pool = new pg.Pool({
    connectionString: url,
    max,
    Client: EndedClient,
    connectionTimeoutMillis: 10_000,
    // a server that is gone without a word cannot end a statement
    query_timeout: 65_000,
    application_name: "maitred",
    onConnect: async (client) => {
      // what is set below would stay in sessions of others
      if (!own && (await isPooled(client))) await requireSession(url);
      own = true;
      // PgBouncer refuses them as parameters of the connection, or drops them without a word
      await askFirst(client, `${SESSION}; set statement_timeout = ${STATEMENT_MS}`);
      const replaced = await noticeLineage(client);
      if (replaced === "untold") untold.add(client);
      else if (replaced) onError(replaced);
    },
    keepAlive: true,
    // Linux would wait two hours
    keepAliveInitialDelayMillis: 10_000,
  });
  pool.on("error", onError);
  // once what it reads from is promoted, the next one is asked
  pool.on("release", (_error, client) => {
    if (untold.has(client)) void client.end();
  });
  return pool;
}

/** What could not sign in, as for want of a password, pg-pool forgets and leaves open: each try would take a connection for a minute. */
class EndedClient extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  // biome-ignore lint/suspicious/noConfusingVoidType: as node-postgres has it
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | void {
    if (!callback) return super.connect();
    super.connect((error: Error) => {
      if (error) void this.end().catch(() => {});
      callback(error);
    });
  }
}

/**
 * Runs one statement.
 *
 * @throws {UpstreamError} DATABASE_UNAVAILABLE when Postgres could not be reached or is going away.
 * @throws {UpstreamError} DATABASE_FORBIDDEN: this role may not.
 */
export async function query<Row extends pg.QueryResultRow>(
  db: Queryable,
  statement: pg.QueryConfig,
): Promise<Row[]> {
  try {
    return (await db.query<Row>(statement)).rows;
  } catch (cause) {
    throw toUpstreamError(cause);
  }
}

/**
 * Lends one connection for statements that belong together. After a failure it is closed, which ends its transaction.
 *
 * @throws as `query` does.
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
    throw toUpstreamError(cause);
  }
}

/**
 * Runs one statement that may take hours.
 *
 * @throws as `query` does.
 */
export async function queryWithoutTimeout<Row extends pg.QueryResultRow>(
  db: Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return connection(db, async (client) => {
    await client.query("set statement_timeout = 0");
    const unhurried = { text, values: [...values], query_timeout: LONGEST_MS };
    const { rows } = await client.query<Row>(unhurried);
    await client.query(`set statement_timeout = ${STATEMENT_MS}`);
    return rows;
  });
}

/** Whether a function refused a statement for one of these reasons. */
export function isRefused(thrown: unknown, ...reasons: readonly Refusal[]): thrown is Error {
  return reasons.some((reason) => (thrown as { code?: unknown }).code === reason);
}

/** For `catch`, where whatever a function refuses is the caller's to mend: its message, and `hint` behind it. */
export function refused(cause: unknown, hint = ""): never {
  if (!isRefused(cause, "MD404", "MD409", "MD412")) throw cause;
  throw new ConfigError(cause.message + hint, { cause });
}

/** What the schema's own functions raise: there is no such thing; it stands in the way; it has changed meanwhile. */
type Refusal = "MD404" | "MD409" | "MD412";

/** A statement that hangs must not hold a group of photos for ever. */
const STATEMENT_MS = 60_000;

/** What a timer can wait for at most. */
const LONGEST_MS = 2 ** 31 - 1;
