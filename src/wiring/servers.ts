/** Part of processes: Postgres, and the queue, which nearly all of them need. */
import type { Config } from "../config.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { openQueues, type Queues } from "../queue/queues.ts";
import { openQueueServer, type QueueServer } from "../queue/server.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect, type Pool } from "../store/pool.ts";
import { watchClock } from "./clock.ts";
import { watchEviction } from "./eviction.ts";

interface Servers {
  db: Pool;
  server: QueueServer;
  queues: Queues;
}

/**
 * Opens Postgres and the queue, and returns once both answer; `scope` closes them.
 *
 * @throws {ConfigError} when the schema or the queue's server is not usable.
 */
export async function openServers(
  config: Config,
  log: Logger,
  scope: Scope,
  connections?: number,
): Promise<Servers> {
  const db = await openPostgres(config, log, scope, connections);
  const broken = createOutageLogger(log, "the queue");
  const back = (): void => log.info("the queue answers again");
  const server = scope.hold("queue server", openQueueServer(config, broken, back));
  await server.check();
  watchEviction(server, log, scope, broken);
  const queues = scope.hold("queues", openQueues(server, broken));
  await queues.ready();
  return { db, server, queues };
}

/** Opens Postgres; `scope` closes it. @throws {ConfigError} where the schema is another. */
export async function openPostgres(
  config: Config,
  log: Logger,
  scope: Scope,
  connections?: number,
): Promise<Pool> {
  const db = connect(config.databaseUrl, createOutageLogger(log, "Postgres"), connections);
  scope.onClose("Postgres", () => db.end());
  await requireSchema(db);
  watchClock(db, log, scope, createOutageLogger(log, "Postgres"));
  return db;
}

/**
 * Logs what a neighbour ails from, which whoever needs it waits out. The same in a row is logged every ten seconds, with how
 * often it was told `again` meanwhile: a client tries to connect many times a minute.
 */
export function createOutageLogger(
  log: Logger,
  where: string,
  now = (): number => performance.now(),
): (error: Error) => void {
  let said = { what: "", at: Number.NEGATIVE_INFINITY };
  let again = 0;
  return (err) => {
    const what = `${(err as { code?: unknown }).code} ${err.message}`;
    if (what === said.what && now() - said.at < SAME_MS) {
      again++;
      return;
    }
    log.warn({ err, ...(again > 0 && { again }) }, `${where} is unwell`);
    [said, again] = [{ what, at: now() }, 0];
  };
}

const SAME_MS = 10_000;
