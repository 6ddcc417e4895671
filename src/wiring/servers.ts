/** Part of processes: Postgres, and the queue, which nearly all of them need. */
import type { Config } from "../config.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { openQueues, type Queues } from "../queue/queues.ts";
import { openQueueServer, type QueueServer } from "../queue/server.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect, type Pool } from "../store/pool.ts";

export interface Servers {
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
  const broken = unwell(log, "the queue");
  const server = scope.hold("queue server", openQueueServer(config, broken));
  await server.check();
  const queues = scope.hold("queues", openQueues(server, broken));
  await queues.ready();
  return { db, server, queues };
}

/** Opens Postgres; `scope` closes it. @throws {ConfigError} SCHEMA_MISMATCH. */
export async function openPostgres(
  config: Config,
  log: Logger,
  scope: Scope,
  connections?: number,
): Promise<Pool> {
  const db = connect(config.databaseUrl, unwell(log, "Postgres"), connections);
  scope.onClose("Postgres", () => db.end());
  await requireSchema(db);
  return db;
}

/** Logs what a neighbour ails from, which whoever needs it waits out. */
export function unwell(log: Logger, where: string): (error: Error) => void {
  return (err) => log.warn({ err }, `${where} is unwell`);
}
