import { int } from "../setting.ts";

export const backfill = {
  feedLimit: int(
    "MAITRED_FEED_LIMIT",
    0,
    0,
    10_000_000,
    "photos of backfills to which the queue is filled, page by page; 0: 20 batches a worker",
  ),
  liveTargetMs: int(
    "MAITRED_LIVE_TARGET_MS",
    10_000,
    100,
    3_600_000,
    "backfills are not fed while an upload has waited longer",
  ),
} as const;
