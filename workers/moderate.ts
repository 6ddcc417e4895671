/** Process: the moderation worker, assembled from its parts. `maitred worker` and `maitred up` run it. */
import { availableParallelism, hostname } from "node:os";
import type { Config } from "../src/config.ts";
import { unfitFor } from "../src/decide/policy.ts";
import { asError, codeOf, UpstreamError } from "../src/errors.ts";
import { createMetrics } from "../src/http/metrics.ts";
import { serveHttp } from "../src/http/server.ts";
import { foldersOf } from "../src/image/folder.ts";
import { createKeyTemplate } from "../src/image/key-template.ts";
import { openModelById } from "../src/infer/folders.ts";
import type { Model } from "../src/infer/model.ts";
import type { Closable, Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { createFollower, type Wanted } from "../src/moderate/follow.ts";
import { createHold } from "../src/moderate/hold.ts";
import { createRecent } from "../src/moderate/recent.ts";
import { createModerationWorker, type WorkerEvents } from "../src/moderate/worker.ts";
import { LANES } from "../src/photo.ts";
import { policyIdOf } from "../src/policy-id.ts";
import { consume } from "../src/queue/consumer.ts";
import { regularly } from "../src/regularly.ts";
import { listen } from "../src/store/listen.ts";
import { forgetWorker, readModels, reportFigures, reportWorker } from "../src/store/models.ts";
import { keepPolicy } from "../src/store/policies.ts";
import { recordShadowScores } from "../src/store/shadow.ts";
import { knownScores, recordOutcomes } from "../src/store/verdicts.ts";
import { modelDirectories, openDefaultModel } from "./judge.ts";
import { asLineModel, createModels, knowsBytes, type Warm, watchModels } from "./models.ts";
import { openPhotos } from "./photos.ts";
import { keepFolded } from "./rollups.ts";
import { createSaying } from "./saying.ts";
import { openServers, unwell } from "./servers.ts";

export interface RunningWorker {
  /** What judges now. */
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
  keepFolded(db, log, scope);
  const metrics = createMetrics(() =>
    Promise.all(
      LANES.map(async (lane) => ({ lane, prefix: config.queuePrefix, ...(await queues.depth(lane)) })),
    ),
  );
  const recent = createRecent(() => performance.now());
  const name = `${hostname()}:${process.pid}`;
  const said = createSaying(log, metrics, recent, events);
  let ready = false;
  const http = scope.hold(
    "http",
    await serveHttp({ ...config, orAnyFree }, metrics, () => ready && said.infers()),
  );

  const models = createModels(config, scope);
  const byId = (wanted: Wanted): Promise<Model> =>
    openModelById(modelDirectories(config), wanted, config.variant);
  const orders = async () => {
    const rows = await readModels(db);
    const shadow = rows.find((row) => row.state === "shadow");
    return {
      active: rows.find((row) => row.state === "active"),
      shadow: shadow && { ...shadow, share: shadow.share ?? 0 },
    };
  };
  const pinned = config.model !== "";
  const active = pinned ? undefined : (await orders()).active;
  let current = await models.open(active ? await byId(active) : await openDefaultModel(config));
  const { policyText, policy } = current.judge;
  await keepPolicy(db, { id: policyIdOf(policyText), yaml: policyText, thresholds: policy.categories });
  const announce = (message: string): void => {
    const { judge, provider, variant, instead, warmUpMs } = current;
    metrics.model({ model: judge.model.id, variant, provider });
    const about = { model: judge.model.id, variant, provider, warmUpMs: Math.round(warmUpMs) };
    log.info({ ...about, ...(pinned && { pinned: "MAITRED_MODEL" }) }, message);
    if (instead) log.warn({ instead }, "CUDA does not run here");
    const unfit = unfitFor(policy, judge.model.id);
    if (unfit) log.warn({ unfit }, "photos are decided on by thresholds of another model");
  };
  announce("the model is warm");
  const first = asLineModel(current);
  const { maxBatch } = first;
  // most of a photo's time is a wait for its bytes, so that cores want more photos in hand than they decode
  const concurrency =
    config.concurrency || Math.max(24, 3 * maxBatch, Math.min(6 * availableParallelism(), 96));
  const once = config.duplicates === "once" && (await knowsBytes(db, log, current.judge.model, pinned));
  const worker = createModerationWorker(
    {
      fetch: openPhotos(config, scope, concurrency * LANES.length),
      record: (outcomes) => recordOutcomes(db, outcomes),
      ...(once && { knownScores: (by, digests) => knownScores(db, by, digests) }),
      recordShadow: (scores) =>
        recordShadowScores(
          db,
          scores.map(({ photoId, beside, ...shadow }) => ({
            photoId,
            shadow: { ...shadow, model: idOf(shadow.by) },
            beside: { ...beside, model: idOf(beside.by) },
          })),
        ),
      knownFromKey: createKeyTemplate(config.keyTemplate),
      policyText,
    },
    first,
    {
      maxWaitMs: config.maxWaitMs,
      decoders: current.judge.decoders,
      slowDecoders: current.judge.slowDecoders,
    },
    said.events,
  );
  scope.hold("line", worker);
  let known = "";
  // once it has told the last of itself; one that cannot say so is not shown for longer than one that was killed
  scope.onClose("what the worker told", () =>
    forgetWorker(db, name).catch((thrown: unknown) =>
      unwell(log, "saying that the worker ends")(asError(thrown)),
    ),
  );
  const follower = scope.hold(
    "models in use",
    createFollower<Warm>(
      {
        read: () => (pinned ? Promise.resolve({ active: undefined, shadow: undefined }) : orders()),
        async open(wanted, background) {
          const next = await models.open(await byId(wanted), { background, policyText });
          if (background || current.provider === "cpu" || next.provider === "cuda") return next;
          // two models beside each other may be too much for a card that holds either
          await next.close();
          throw new UpstreamError(
            "INFERENCE_UNAVAILABLE",
            `${wanted.id} would run on ${next.provider}: ${next.instead}`,
          );
        },
        async replace(next) {
          const before = current.judge.model.id;
          current = next;
          announce(`the model follows ${before}`);
          await worker.replace(asLineModel(next));
          log.info({ model: before }, "the model before is closed");
        },
        async shadow(next, share) {
          await worker.shadow(next && asLineModel(next), share);
          log.info({ model: next?.judge.model.id, share }, next ? "a shadow runs" : "no shadow runs");
        },
        async report(problem) {
          const { judge, variant, provider } = current;
          const problems = [problem, unfitFor(policy, judge.model.id)].filter(Boolean).join("; ");
          metrics.modelProblem(problems !== "");
          if (problem !== known) {
            if (problem)
              log.error(
                { problem, model: current.judge.model.id },
                "a model cannot run, and the one before goes on",
              );
            else log.info("every model that is to run does");
          }
          known = problem;
          const about = { worker: name, model: judge.model.id, variant, provider, pinned };
          await reportWorker(db, { ...about, problem: problems });
        },
        unwell: unwell(log, "following the active model"),
      },
      { id: current.judge.model.id, sha256: current.judge.model.sha256 },
      FOLLOW_MS,
    ),
  );
  scope.hold(
    "notices",
    listen(config.databaseUrl, "maitred_models", () => void follower.look(), unwell(log, "Postgres")),
  );
  scope.hold("watch", watchModels(models, said, current.warmUpMs, log));
  const folders = foldersOf(config.folders);
  const tell = (): Promise<void> => reportFigures(db, name, { ...recent.figures(), folders });
  tellFigures(tell, unwell(log, "telling figures"), scope);
  // what is fetched while nothing can be recorded is fetched again; telling figures is a write that any worker may do
  const recording = createHold(
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
  scope.onClose("lanes", async () => {
    ready = false;
    models.refuseWaiting();
    await recording.close();
    // together: a lane that still took photos would stand in front of the other's
    await Promise.all(consumers.map((consumer) => consumer.close()));
  });
  for (const lane of LANES) {
    const consumer = await consume(
      server,
      lane,
      { ...config, concurrency },
      {
        async photo(photo, { ageMs, ...which }) {
          const since = Date.now();
          await recording.run(() => worker.photo(photo, lane, which));
          metrics.age(lane, ageMs + Date.now() - since);
        },
        abandoned: (photo, reason) => worker.fail(photo, lane, "WORKER_CRASHED", reason),
        error: unwell(log, `lane ${lane}`),
      },
    );
    consumers.push(consumer);
  }
  void follower.look();
  ready = true;
  log.info({ concurrency, maxBatch, url: http.url }, "taking photos");
  return {
    get model() {
      return current.judge.model.id;
    },
    get provider() {
      return current.provider;
    },
    url: http.url,
  };
}

/** Says every few seconds what the worker did of late, for the desk. One that cannot say it is not the worse for it. */
function tellFigures(tell: () => Promise<void>, unwell: (error: Error) => void, scope: Scope): void {
  const telling = (): Promise<void> => tell().catch((thrown: unknown) => unwell(asError(thrown)));
  scope.hold("figures", regularly(telling, TELL_MS));
}

function idOf(by: string): string {
  return by.replace(/^model:/, "");
}

/** How often a worker looks which model is active, in case a notice was lost. */
const FOLLOW_MS = 30_000;
const TELL_MS = 4_000;
/** How often Postgres is asked whether it takes writes again. */
const ASK_MS = 1_000;
