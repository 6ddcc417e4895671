import pg from "pg";
import { ConfigError } from "../errors.ts";
import { POOLED, toUpstreamError } from "./outage.ts";

/** A client that is not connected yet. @throws {ConfigError} where its URL names a file that cannot be read. */
export function openClient(config: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client(config);
  } catch (cause) {
    throw new ConfigError(`DATABASE_URL: ${(cause as Error).message}`, { cause });
  }
}

/** Whether something stands between this connection and its session of Postgres. */
export async function isPooled(client: pg.ClientBase): Promise<boolean> {
  const { processID } = client as pg.ClientBase & { processID?: number };
  // a pooler tells a number of its own
  return (await sessionOf(client)) !== processID;
}

/**
 * Runs a statement of a connection that is new.
 *
 * @throws where nothing answers soon: a pooler that is full takes the statement, and lets it wait.
 */
export async function askFirst<Row extends pg.QueryResultRow>(
  client: pg.ClientBase,
  text: string,
): Promise<pg.QueryResult<Row>> {
  const limited = { text, query_timeout: CONNECT_MS };
  return client.query<Row>(limited).catch((cause: Error) => {
    throw cause.message === "Query read timeout" ? new Error(UNANSWERED, { cause }) : cause;
  });
}

/**
 * Asks whether a connection stays with one session of Postgres, as listening, locks and prepared statements need; changes nothing.
 *
 * @throws {ConfigError} where a pooler lends sessions out for one transaction.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE where Postgres does not answer.
 */
export async function requireSession(url: string): Promise<void> {
  const [one, other] = [client(url), client(url)];
  try {
    await one.connect();
    await other.connect();
    // a pooler that is busy lends others what was given back; twice in a row is unlikely
    for (let round = 0; round < ROUNDS; round++) {
      const first = await sessionOf(one);
      await other.query("begin");
      const shared = (await sessionOf(other)) === first || (await sessionOf(one)) !== first;
      await other.query("rollback");
      if (shared) throw new ConfigError(POOLED);
    }
  } catch (cause) {
    throw toUpstreamError(cause);
  } finally {
    await Promise.all([one.end(), other.end()]);
  }
}

function client(connectionString: string): pg.Client {
  const made = openClient({
    connectionString,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS,
    application_name: "maitred",
  });
  // what breaks fails the statement at hand, or the next one
  made.on("error", () => {});
  return made;
}

async function sessionOf(session: pg.ClientBase): Promise<number> {
  const { rows } = await askFirst<{ pid: number }>(session, "select pg_backend_pid() as pid");
  return rows[0]!.pid;
}

const ROUNDS = 3;
const CONNECT_MS = 10_000;
const UNANSWERED = `a connection was made, and its first statement not answered within ${CONNECT_MS / 1_000} s: if a pooler is asked, all its sessions are taken: raise its default_pool_size, and max_connections of Postgres where that is less, or run fewer processes`;

/**
 * A role and a schema of the same name would otherwise hide the tables. Nothing is compiled: what looks up a few rows by their keys seems to
 * be worth it on large tables, or without their statistics, and takes seconds then; whoever reads whole tables gains nothing that shows.
 */
export const SESSION = "set search_path = public; set jit = off";
