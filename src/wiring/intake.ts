/** Part of processes: what the intake of events is assembled from. The API, the listener and the CLI use it. */

import { withTimeout } from "../asking.ts";
import type { Config } from "../config.ts";
import { asError, UpstreamError } from "../errors.ts";
import { type EventDeps, type QueueDeps, queueUnqueued } from "../intake/ingest-events.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import type { PhotoJob } from "../photo.ts";
import type { Queues } from "../queue/queues.ts";
import { runEvery } from "../run-every.ts";
import { forgetBadMessages } from "../store/bad-messages.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../store/events.ts";
import { forgetAnswers } from "../store/idempotent-answers.ts";
import { type PendingCursor, pendingUploads } from "../store/photos.ts";
import type { Pool } from "../store/pool.ts";
import { startRollupFolding } from "./rollups.ts";
import { openServers } from "./servers.ts";

export interface EventIntake {
  db: Pool;
  events: EventDeps;
  queues: Queues;
  waiting(): Promise<number>;
}

/**
 * Opens Postgres and the queue; `scope` closes them.
 *
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function openEventIntake(config: Config, log: Logger, scope: Scope): Promise<EventIntake> {
  const { db, queues } = await openServers(config, log, scope);
  return {
    db,
    events: {
      record: (events) => recordEvents(db, events, config.sequencerPad, config.removed === "erase"),
      ...queueDeps(db, queues),
    },
    queues,
    waiting: async () => (await orQueueUnavailable(queues, queues.depth("live"))).waiting,
  };
}

export function queueDeps(db: Pool, queues: Queues): QueueDeps {
  return {
    add: (lane, photos) => orQueueUnavailable(queues, queues.add(lane, photos)),
    markQueued: (ids) => markQueued(db, ids),
    unqueued: (olderThanS, limit) => unqueuedPhotos(db, olderThanS, limit),
  };
}

/** Queues what is committed and not queued, every minute, and forgets what is kept for a while only; folds the counts. */
export function startHousekeeping({ db, queues }: EventIntake, log: Logger, scope: Scope): void {
  startRollupFolding(db, log, scope);
  startRequeueing(db, queues, log, scope);
  const tidy = async (): Promise<void> => {
    await forgetAnswers(db);
    await forgetBadMessages(db);
  };
  const failed = (err: Error): void => log.warn({ err }, "could not forget what is old, and will again");
  scope.hold("tidying", runEvery(tidy, TIDY_MS, failed));
}

/** Every minute queues what was committed and not queued: in a failure, or by a command that has no queue. */
export function startRequeueing(db: Pool, queues: Queues, log: Logger, scope: Scope): void {
  const deps = queueDeps(db, queues);
  const queue = async (): Promise<void> => {
    const photos = await queueUnqueued(deps, FORGOTTEN_S);
    if (photos > 0) log.warn({ photos }, "queued what had been committed and not queued");
    const lost = await requeueLost(db, queues);
    if (lost > 0) log.warn({ photos: lost }, "queued uploads that the queue had lost");
  };
  const failed = (err: Error): void =>
    log.warn({ err }, "could not look for what is not queued, and will again");
  scope.hold("queueing", runEvery(queue, TIDY_MS, failed));
}

/**
 * Queues uploads again that wait and are in no queue: one whose server failed over loses what it was given last, and one without
 * a disk all. As uploads are judged in their order, what was lost is the oldest sooner or later: where nothing of a page is
 * missing, no more is looked at.
 *
 * @returns how many were missing.
 */
export async function requeueLost(
  db: Pool,
  queues: Pick<Queues, "held" | "add" | "connected">,
): Promise<number> {
  let lost = 0;
  let after: PendingCursor | undefined;
  for (;;) {
    const page = await pendingUploads(db, LOST_S, after, LOST_PAGE);
    const missing: PhotoJob[] = [];
    for (const { registeredAt: _, ...photo } of page) {
      if ((await orQueueUnavailable(queues, queues.held([photo.id]))) === 0) missing.push(photo);
    }
    if (missing.length > 0) await orQueueUnavailable(queues, queues.add("live", missing));
    lost += missing.length;
    if (missing.length === 0 || page.length < LOST_PAGE) return lost;
    const { registeredAt: at, id } = page.at(-1)!;
    after = { at, id };
  }
}

/** What BullMQ throws says nothing of whose fault it is; here it is always its server's. BullMQ itself waits for ever. */
export async function orQueueUnavailable<T>(queues: Pick<Queues, "connected">, work: Promise<T>): Promise<T> {
  // whoever waits for an answer is told soon where there is no connection, which may be made again in a moment
  const ms = queues.connected() ? QUEUE_MS : MOMENT_MS;
  try {
    return await withTimeout(work, ms, () => {
      throw new Error(`no answer within ${ms} ms`);
    });
  } catch (cause) {
    throw new UpstreamError("QUEUE_UNAVAILABLE", `the queue's server: ${asError(cause).message}`, { cause });
  }
}

const QUEUE_MS = 10_000;
const MOMENT_MS = 1_000;
const TIDY_MS = 60_000;
const FORGOTTEN_S = 30;
const LOST_S = 600;
/** Each is looked for in the queue, which takes some requests to its server. */
const LOST_PAGE = 100;
