import pg from "pg";
import { ConfigError, UpstreamError } from "../errors.ts";

export type Pool = pg.Pool;

/** The pool, or one of its connections, for what may be part of a transaction. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/** A client that is not connected yet. @throws {ConfigError} where its URL names a file that cannot be read. */
export function openClient(config: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client(config);
  } catch (cause) {
    throw new ConfigError(`DATABASE_URL: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Connections to Postgres. A connection that breaks while idle is replaced, and told to `onError`.
 *
 * @throws as `openClient` does.
 */
export function connect(url: string, onError: (error: Error) => void, max = 8): Pool {
  openClient({ connectionString: url });
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 10_000,
    // a server that is gone without a word cannot end a statement
    query_timeout: 65_000,
    application_name: "maitred",
    // PgBouncer refuses them as parameters of the connection, or drops them without a word
    onConnect: (client) => client.query(`${SESSION}; set statement_timeout = ${STATEMENT_MS}`),
    keepAlive: true,
    // Linux would wait two hours
    keepAliveInitialDelayMillis: 10_000,
  });
  pool.on("error", onError);
  return pool;
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

/** Whatever a statement threw, as an UpstreamError where it says nothing of the statement. */
export function toUpstreamError(cause: unknown): unknown {
  const { code, message } = cause as { code?: unknown; message: string };
  // rights that are being given, or were taken away, and no fault of whatever was to be done
  if (code === FORBIDDEN) {
    const who =
      "maitred doctor says what the role of a worker lacks, and a member of maitred_migrator may administer";
    return new UpstreamError("DATABASE_FORBIDDEN", `${message}: ${who}`, { cause });
  }
  const todo = TODO.find(([codes]) => codes.test(String(code)))?.[1];
  if (!todo && !isOutage(cause)) return cause;
  return new UpstreamError("DATABASE_UNAVAILABLE", ["Postgres", message, todo].filter(Boolean).join(": "), {
    cause,
  });
}

/**
 * What goes away by itself: no connection, a server that stops or is full, a lost race between transactions, a lock that others
 * hold for too long, a password that is being changed, a database that is being put in place of another, a socket's file that is not there.
 */
function isOutage(thrown: unknown): boolean {
  // of the addresses of a name, each with what it answered
  if (thrown instanceof AggregateError && thrown.errors.some(isOutage)) return true;
  const code = (thrown as { code?: unknown }).code;
  // node-postgres gives a lost connection no code
  if (typeof code !== "string") return /connection|timeout|^SASL/i.test(String((thrown as Error).message));
  // what is fatal ends the connection, whatever was asked
  const { syscall, severity } = thrown as { syscall?: unknown; severity?: unknown };
  return OUTAGES.test(code) || syscall === "connect" || severity === "FATAL";
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

/**
 * A role and a schema of the same name would otherwise hide the tables. Nothing is compiled: what looks up a few rows by their keys seems to
 * be worth it on large tables, or without their statistics, and takes seconds then; whoever reads whole tables gains nothing that shows.
 */
export const SESSION = "set search_path = public; set jit = off";
/** A statement that hangs must not hold a group of photos for ever. */
const STATEMENT_MS = 60_000;
export const POOLED =
  "expected a connection of one's own, and a pooler lends it for one transaction: let DATABASE_URL name Postgres itself, or a pooler with pool_mode = session and its server_reset_query";
const FORBIDDEN = "42501";
/** What an operator may mend, by what Postgres, or Node of its certificate, answers. */
const TODO: readonly (readonly [RegExp, string])[] = [
  [
    /^25006$/,
    "if it is a standby, let DATABASE_URL lead to the primary; else reset default_transaction_read_only",
  ],
  // statements that are there already, or are not, although each connection prepares them once: it is shared
  [/^(26000|42P05)$/, POOLED],
  [
    /^(ERR_(TLS|SSL|OSSL)|EPROTO|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_|INVALID_(CA|PURPOSE))/,
    "let sslrootcert of DATABASE_URL be the file of the CA that signed its certificate, and the host one that it is for",
  ],
];
const OUTAGES =
  /^(08|53|57|58|40|25006|25P03|25P04|55P03|55000|3D000|28|ECONN|ETIMEDOUT|EPIPE|EMFILE|ENFILE|EHOST|ENET|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN)/;

/** What a timer can wait for at most. */
const LONGEST_MS = 2 ** 31 - 1;
