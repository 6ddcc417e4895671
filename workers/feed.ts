/** Process: keeps the backfill lane filled. `maitred feed` runs it. */
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "../src/asking.ts";
import { createFeeder, FEEDER } from "../src/backfill/feeder.ts";
import { type PageDeps, pages } from "../src/backfill/pages.ts";
import { withRenditions } from "../src/backfill/rendition.ts";
import type { RunningBackfill } from "../src/backfill/source.ts";
import type { Config } from "../src/config.ts";
import { asError } from "../src/errors.ts";
import { ANSWER_MS, connectS3 } from "../src/image/s3.ts";
import { listAfter } from "../src/image/s3-bucket.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { runEvery } from "../src/run-every.ts";
import {
  countWaiting,
  endBackfills,
  feedBackfill,
  feedRetries,
  noteFeeding,
  readCursor,
  waitingPhotos,
} from "../src/store/backfill-feed.ts";
import { changeBackfill, readBackfills } from "../src/store/backfills.ts";
import { readWorkers } from "../src/store/models.ts";
import type { Pool } from "../src/store/pool.ts";
import { selectPhotos, viewPhotos } from "../src/store/selected-photos.ts";
import { startRequeueing } from "../src/wiring/intake.ts";
import { manifestsOf } from "../src/wiring/manifests.ts";
import { startRollupFolding } from "../src/wiring/rollups.ts";
import { createOutageLogger, openServers } from "../src/wiring/servers.ts";

/**
 * Starts feeding and returns at once; the feeder goes on until `scope` is closed, over outages too.
 *
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function startFeed(config: Config, log: Logger, scope: Scope): Promise<void> {
  const { db, queues } = await openServers(config, log, scope, 3);
  startRollupFolding(db, log, scope);
  // what a rollback leaves to be queued, where neither the API nor a listener runs
  startRequeueing(db, queues, log, scope);
  const s3 = connectS3(config, CONNECTIONS, 1, ANSWER_MS);
  scope.onClose("feeder's S3", () => s3.destroy());
  const broken = createOutageLogger(log, "what the feeder needs");
  const depsFor = ({ model }: RunningBackfill): PageDeps => ({
    list: (bucket, prefix, after, limit) => listAfter(s3, bucket, prefix, after, limit),
    select: ({ olderModel, ...what }, after, limit) =>
      selectPhotos(db, { ...what, notBy: olderModel ? model : undefined }, after, limit),
    view: (name, after, limit) => viewPhotos(db, name, after, limit),
    open: manifestsOf(s3),
  });
  const feeder = scope.hold(
    "feeder",
    createFeeder(
      {
        async running() {
          const rows = await readBackfills(db, "running");
          return rows.reverse().map((row) => ({ ...row, cursor: row.cursor as RunningBackfill["cursor"] }));
        },
        pages: (backfill, size) => pages(depsFor(backfill), backfill.what, backfill.cursor, size),
        async feed({ id, rendition }, from, page) {
          const photos = await feedBackfill(db, id, from, page);
          return photos && withRenditions(photos, rendition);
        },
        stands: async (id) => (await readCursor(db, id)) as RunningBackfill["cursor"],
        // what failed did so itself, whatever its rendition
        retry: (id, size) => feedRetries(db, id, size),
        async *waitingPhotos(olderThanS) {
          for await (const photos of waitingPhotos(db, olderThanS))
            yield photos.flatMap(({ template, ...photo }) => withRenditions([photo], template));
        },
        waiting: (olderThanS) => countWaiting(db, olderThanS),
        add: (photos) =>
          queues.add(
            "backfill",
            photos.map((photo) => ({ ...photo, fed: true })),
          ),
        depth: async () => (await queues.depth("backfill")).waiting,
        async held() {
          const { waiting, active, delayed } = await queues.depth("backfill");
          return waiting + active + delayed;
        },
        async liveOldestMs() {
          const { paused, oldestMs } = await queues.depth("live");
          // an upload that a person keeps back does not wait for what a backfill would take
          return paused ? 0 : oldestMs;
        },
        finish: () => endBackfills(db),
        fail: (id, why) => changeBackfill(db, id, "paused", FEEDER, why),
        now: Date.now,
      },
      { queue: () => feedLimit(config, db), liveTargetMs: config.liveTargetMs },
      {
        fed: (backfill, photos) => log.debug({ backfill, photos }, "fed"),
        finished: (backfill) => log.info({ backfill }, "the backfill is done"),
        failed: (backfill, err) => log.error({ backfill, err }, "the backfill cannot go on and is paused"),
        unwell: broken,
      },
    ),
  );

  const ending = new AbortController();
  // the queue's server may be away while Postgres is not
  const lane = within(() => queues.depth("backfill"));
  const say = async (): Promise<void> =>
    noteFeeding(db, feeder.standsBack(), (await lane(PATIENCE_MS))?.paused ?? false);
  scope.hold("feeder's word", runEvery(say, SAY_MS, broken));
  const loop = (async () => {
    while (!ending.signal.aborted) {
      let fed = 0;
      try {
        fed = await feeder.round();
      } catch (thrown) {
        broken(asError(thrown));
        await pause(OUTAGE_MS, ending.signal);
      }
      if (fed === 0) await pause(ROUND_MS, ending.signal);
    }
  })();
  scope.onClose("feeding", async () => {
    ending.abort();
    await loop;
  });
  log.info("feeding");
}

/** Photos that a feeder keeps in the lane: twenty batches for each worker that is alive, unless MAITRED_FEED_LIMIT says a number. */
export async function feedLimit(config: Config, db: Pool): Promise<number> {
  if (config.feedLimit > 0) return config.feedLimit;
  const workers = await readWorkers(db);
  const batches = workers.map(({ provider }) => (provider === "cuda" ? CUDA_BATCH : CPU_BATCH));
  return (
    20 *
    Math.max(
      CPU_BATCH,
      batches.reduce((sum, size) => sum + size, 0),
    )
  );
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal }).catch(() => {});
}

const CPU_BATCH = 8;
const CUDA_BATCH = 64;
/** Each run over a list in a bucket holds one open as long as it goes on; the others are for listings. */
const CONNECTIONS = 64;
const ROUND_MS = 200;
const SAY_MS = 5_000;
const PATIENCE_MS = 1_500;
const OUTAGE_MS = 5_000;
