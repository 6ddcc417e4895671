import type { Config } from "../config.ts";
import { type TakenIn, takeIn } from "../intake/intake.ts";
import type { Scope } from "../lifecycle.ts";
import type { Known, Lane, PhotoRef } from "../photo.ts";
import { openQueues, type Queues } from "../queue/queues.ts";
import { openQueueServer, type QueueServer } from "../queue/server.ts";
import { registerPhotos } from "../store/photos.ts";
import { connect, type Pool } from "../store/pool.ts";

export interface Intake {
  db: Pool;
  server: QueueServer;
  queues: Queues;
  /** See `takeIn`. */
  take(photos: readonly PhotoRef[], lane: Lane, how?: { known?: Known; again?: boolean }): Promise<TakenIn>;
}

/** Opens what photos are taken in with; `scope` closes it. */
export function openIntake(config: Config, scope: Scope, onError: (error: Error) => void): Intake {
  const db = connect(config.databaseUrl, onError, 2);
  scope.onClose("intake's Postgres", () => db.end());
  const server = scope.hold("intake's queue server", openQueueServer(config, onError));
  const queues = scope.hold("intake's queues", openQueues(server, onError));
  const deps = {
    register: (photos: Parameters<typeof registerPhotos>[1], lane: Lane) => registerPhotos(db, photos, lane),
    add: queues.add,
  };
  return { db, server, queues, take: (photos, lane, how) => takeIn(deps, photos, lane, how) };
}
