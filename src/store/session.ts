import type pg from "pg";
import { ConfigError } from "../errors.ts";
import { openClient, POOLED, toUpstreamError } from "./pool.ts";

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
    connectionTimeoutMillis: 10_000,
    query_timeout: 10_000,
    application_name: "maitred",
  });
  // what breaks fails the statement at hand, or the next one
  made.on("error", () => {});
  return made;
}

async function sessionOf(session: pg.Client): Promise<number> {
  const { rows } = await session.query<{ pid: number }>("select pg_backend_pid() as pid");
  return rows[0]!.pid;
}

const ROUNDS = 3;
