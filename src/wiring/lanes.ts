/** Part of commands and of the API: the two lanes as operators see them, and how they are paused. */
import { LANES, type Lane } from "../photo.ts";
import type { LaneDepth, Queues } from "../queue/queues.ts";
import { addAuditEntry, type LaneChange, lastLaneChanges } from "../store/audit-log.ts";
import type { Pool } from "../store/pool.ts";
import { orQueueUnavailable } from "./intake.ts";

export interface Steering {
  db: Pool;
  queues: Queues;
}

export interface LaneState extends Omit<LaneDepth, "oldestMs"> {
  lane: Lane;
  /** How long the oldest waiting photo has waited; 0 when none does. */
  oldestS: number;
  /** Null of one that is not paused, and of one that is but not by `changeLane`. */
  pausedBy: Pick<LaneChange, "who" | "at" | "why"> | null;
}

/** Live first. Whether a lane is paused the queue says, and by whom the audit log. */
export async function readLanes({ db, queues }: Steering): Promise<LaneState[]> {
  const depths = await Promise.all(LANES.map(async (lane) => ({ lane, ...(await queues.depth(lane)) })));
  const changes = depths.some(({ paused }) => paused) ? await lastLaneChanges(db, queues.prefix) : [];
  return depths.map(({ oldestMs, ...depth }) => {
    const last = changes.find(({ lane }) => lane === depth.lane);
    const by = depth.paused && last?.state === "paused" ? last : null;
    return {
      ...depth,
      oldestS: oldestMs / 1_000,
      pausedBy: by && { who: by.who, at: by.at, why: by.why },
    };
  });
}

/**
 * Pauses or resumes a lane, and writes down who did it, and why, before it is done: the queue is no part of a transaction. One
 * that is so already is left as it is, with whoever made it so.
 *
 * @returns whether it was changed.
 * @throws {UpstreamError} QUEUE_UNAVAILABLE or DATABASE_UNAVAILABLE: it was not changed, or nobody knows.
 */
export async function changeLane(
  { db, queues }: Steering,
  lane: Lane,
  state: LaneChange["state"],
  by: string,
  why: string,
): Promise<boolean> {
  const { paused } = await orQueueUnavailable(queues, queues.depth(lane));
  if (paused === (state === "paused")) return false;
  const about = { lane, state, why, prefix: queues.prefix };
  await addAuditEntry(db, { who: by, did: "changed-lane", photo: null, about });
  await orQueueUnavailable(queues, state === "paused" ? queues.pause(lane) : queues.resume(lane));
  return true;
}
