import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { asError, UpstreamError } from "../errors.ts";
import { type IngestOptions, type IngestResult, ingestPhotos } from "../intake/ingest-photos.ts";
import type { Scope } from "../lifecycle.ts";
import type { Lane, PhotoJob, PhotoRef } from "../photo.ts";
import { openQueues, type Queues } from "../queue/queues.ts";
import { reasonOf } from "../queue/redis-check.ts";
import { openQueueServer, type QueueServer } from "../queue/server.ts";
import { markQueued, recordEvents } from "../store/events.ts";
import { currentKeys, decidedBefore, registerPhotos } from "../store/photos.ts";
import { connect, type Pool } from "../store/pool.ts";
import type { Told } from "./away.ts";

export interface Intake {
  db: Pool;
  server: QueueServer;
  queues: Queues;
  /** See `ingestPhotos`. */
  take(photos: readonly PhotoRef[], lane: Lane, how?: IngestOptions): Promise<IngestResult>;
  /** Takes photos of a folder off the page, as a removal from a bucket does. @returns keys of those that were on it. */
  withdraw(folder: string, keys: readonly string[]): Promise<string[]>;
}

/** Opens what photos are taken in with; `scope` closes it. */
export function openIntake(
  config: Config,
  scope: Scope,
  onError: (error: Error) => void,
  queue: Partial<Told> = {},
): Intake {
  const db = connect(config.databaseUrl, onError, 2);
  scope.onClose("intake's Postgres", () => db.end());
  const server = scope.hold(
    "intake's queue server",
    openQueueServer(config, queue.onError ?? onError, queue.onBack),
  );
  const queues = scope.hold("intake's queues", openQueues(server, onError, false));
  const deps = {
    register: (photos: Parameters<typeof registerPhotos>[1], lane: Lane, looked?: string) =>
      registerPhotos(db, photos, lane, looked),
    add: (lane: Lane, photos: readonly PhotoJob[]) => queues.add(lane, photos).catch(refused),
    markQueued: (ids: readonly string[]) => markQueued(db, ids),
    doubtful: (photos: readonly PhotoJob[]) => touchedSince(db, photos),
  };
  return {
    db,
    server,
    queues,
    take: (photos, lane, how) => ingestPhotos(deps, photos, lane, how),
    async withdraw(bucket, keys) {
      // a file that never was a photo leaves nothing behind
      const current = keys.length > 0 ? await currentKeys(db, bucket, { keys }) : [];
      const gone = { kind: "removed", store: "folder", bucket, version: "", order: null, known: {} } as const;
      const removals = current.map((key) => ({ ...gone, key }));
      if (current.length > 0)
        await recordEvents(db, removals, config.sequencerPad, config.removed === "erase");
      return current;
    },
  };
}

/**
 * Photos of folders whose files were touched after their verdict. What their version is made of, size and time of the last change, whoever
 * writes a file may choose, and tools such as rsync do; when it was touched the system alone says.
 */
async function touchedSince(db: Pool, photos: readonly PhotoJob[]): Promise<Set<string>> {
  const files = photos.filter(({ store }) => store === "folder");
  if (files.length === 0) return new Set();
  const at = await Promise.all(
    files.map(({ bucket, key }) =>
      stat(join(bucket, ...key.split("/"))).then(
        ({ ctime }) => ctime,
        () => null,
      ),
    ),
  );
  const before = await decidedBefore(
    db,
    files.map(({ id }) => id),
    at,
  );
  return new Set(before);
}

/** Of a server that is there and takes nothing, as its disk is full: BullMQ waits for one that is away. */
function refused(cause: unknown): never {
  throw new UpstreamError("QUEUE_UNAVAILABLE", `the queue's server: ${reasonOf(asError(cause))}`, { cause });
}
