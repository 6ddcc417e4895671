/** Process: the moderation worker, assembled from its parts. `maitred worker` and `maitred up` run it. */
import { availableParallelism, hostname } from "node:os";
import type { Config } from "../src/config.ts";
import { codeOf } from "../src/errors.ts";
import { createMetrics } from "../src/http/metrics.ts";
import { serveHttp } from "../src/http/server.ts";
import { decoderId } from "../src/image/decoder-id.ts";
import { foldersOf } from "../src/image/folder.ts";
import { createKeyTemplate } from "../src/image/key-template.ts";
import type { Closable, Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { createOutageGate } from "../src/moderate/outage-gate.ts";
import { createRecent } from "../src/moderate/recent.ts";
import { createModerationWorker, type WorkerEvents } from "../src/moderate/worker.ts";
import { LANES } from "../src/photo.ts";
import { consume } from "../src/queue/consumer.ts";
import { runEvery } from "../src/run-every.ts";
import { reportFigures } from "../src/store/models.ts";
import { databaseTime } from "../src/store/photos.ts";
import { recordShadowScores } from "../src/store/shadow.ts";
import { decodedSince, knownScores, recordOutcomes } from "../src/store/verdicts.ts";
import { openAdoptReplacement } from "../src/wiring/adopt-replacement.ts";
import { clockGauge, openSharedClock } from "../src/wiring/clock.ts";
import { evictionGauge } from "../src/wiring/eviction.ts";
import { openFollowedModel } from "../src/wiring/followed-model.ts";
import {
  asLineModel,
  createModels,
  findsDigests,
  isAsRegistered,
  watchModelHealth,
} from "../src/wiring/models.ts";
import { openPhotos } from "../src/wiring/photos.ts";
import { startRollupFolding } from "../src/wiring/rollups.ts";
import { createOutageLogger, openServers } from "../src/wiring/servers.ts";
import { createWorkerObserver } from "../src/wiring/worker-observer.ts";

export interface RunningWorker {
  readonly model: string;
  readonly provider: string;
  /** Where metrics and health are. */
  url: string;
}

/**
 * Starts the worker and returns once it is warm and takes photos.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @param options.orAnyFree whether any free port will do where MAITRED_PORT is in use.
 * @throws {ConfigError} when a setting, model, policy, schema or queue server is not usable.
 */
export async function startWorker(
  config: Config,
  log: Logger,
  scope: Scope,
  events: Partial<WorkerEvents> = {},
  { orAnyFree = false } = {},
): Promise<RunningWorker> {
  const { db, server, queues } = await openServers(config, log, scope);
  startRollupFolding(db, log, scope);
  const metrics = createMetrics(
    () =>
      Promise.all(
        LANES.map(async (lane) => ({ lane, prefix: config.queuePrefix, ...(await queues.depth(lane)) })),
      ),
    [clockGauge(db), evictionGauge(server)],
  );
  const recent = createRecent(() => performance.now());
  const name = `${hostname()}:${process.pid}`;
  const said = createWorkerObserver(log, metrics, recent, events);
  let ready = false;
  const http = scope.hold(
    "http",
    await serveHttp({ ...config, orAnyFree }, metrics.registry, () => ready && said.infers()),
  );

  const models = createModels(config, scope);
  const followed = await openFollowedModel(config, models, { db, metrics, log, scope });
  const { judge, warmUpMs } = followed.current;
  const first = asLineModel(followed.current);
  const { maxBatch } = first;
  // most of a photo's time is a wait for its bytes, so that cores want more photos in hand than they decode
  const concurrency =
    config.concurrency || Math.max(24, 3 * maxBatch, Math.min(6 * availableParallelism(), 96));
  const keepsDigests = await isAsRegistered(db, log, judge.model, followed.pinned);
  const once = keepsDigests && config.duplicates === "once" && (await findsDigests(db, log));
  const since = once ? await decodedSince(db, decoderId()) : undefined;
  const worker = createModerationWorker(
    {
      fetch: openPhotos(config, scope, concurrency * LANES.length),
      time: () => databaseTime(db),
      record: (outcomes) => recordOutcomes(db, outcomes),
      keepsDigests,
      ...(since && { knownScores: (by, digests) => knownScores(db, by, since, digests) }),
      recordShadow: (scores) =>
        recordShadowScores(
          db,
          scores.map(({ photoId, beside, ...shadow }) => ({
            photoId,
            shadow: { ...shadow, model: idOf(shadow.by) },
            beside: { ...beside, model: idOf(beside.by) },
          })),
        ),
      adoptReplacement: openAdoptReplacement(config, { db, queues }, scope),
      knownFromKey: createKeyTemplate(config.keyTemplate),
      policy: judge.policyId,
    },
    first,
    { maxWaitMs: config.maxWaitMs, decoders: judge.decoders, slowDecoders: judge.slowDecoders },
    said.events,
  );
  scope.hold("line", worker);
  const watcher = followed.follow(worker, name);
  scope.hold("watch", watchModelHealth(models, said, warmUpMs, log));
  const folders = foldersOf(config.folders);
  const tell = (): Promise<void> =>
    reportFigures(db, name, { ...recent.figures(), folders, policy: judge.policyId });
  // of late, for the desk; one that cannot say it is not the worse for it
  scope.hold("figures", runEvery(tell, TELL_MS, createOutageLogger(log, "telling figures")));
  // what is fetched while nothing can be recorded is fetched again; telling figures is a write that any worker may do
  const recording = createOutageGate(
    () =>
      tell().catch((thrown: unknown) => {
        // no photo is tried meanwhile, and alerts look at tries
        for (const lane of LANES) metrics.retry(lane, codeOf(thrown));
        throw thrown;
      }),
    (error) => codeOf(error).startsWith("DATABASE_"),
    ASK_MS,
  );
  const consumers: Closable[] = [];
  const now = await openSharedClock(db, scope, createOutageLogger(log, "Postgres"));
  scope.onClose("lanes", async () => {
    ready = false;
    models.refuseWaiting();
    await recording.close();
    // together: a lane that still took photos would stand in front of the other's
    await Promise.all(consumers.map((consumer) => consumer.close()));
  });
  const suspects = new Set<string>();
  for (const lane of LANES) {
    const consumer = await consume(
      server,
      lane,
      { ...config, concurrency, now },
      {
        async photo(photo, { ageMs, ...which }) {
          const since = Date.now();
          await recording.run(() => worker.photo(photo, lane, which));
          metrics.age(lane, Math.max(0, ageMs + Date.now() - since));
        },
        abandoned: (photo, reason, how) => worker.fail(photo, lane, "WORKER_CRASHED", reason, how),
        error: createOutageLogger(log, `lane ${lane}`),
      },
      suspects,
    );
    consumers.push(consumer);
  }
  void watcher.look();
  ready = true;
  log.info({ concurrency, maxBatch, url: http.url }, "taking photos");
  return {
    get model() {
      return followed.current.judge.model.id;
    },
    get provider() {
      return followed.current.provider;
    },
    url: http.url,
  };
}

function idOf(by: string): string {
  return by.replace(/^model:/, "");
}

const TELL_MS = 4_000;
/** How often Postgres is asked whether it takes writes again. */
const ASK_MS = 1_000;
