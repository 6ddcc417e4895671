/** Process: the moderation worker, assembled from its parts. `maitred worker` and `maitred up` run it. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join, resolve } from "node:path";
import type { Config } from "../src/config.ts";
import { decide } from "../src/decide/decide.ts";
import { type Policy, parsePolicy } from "../src/decide/policy.ts";
import { asError, ConfigError } from "../src/errors.ts";
import { createMetrics } from "../src/http/metrics.ts";
import { serveHttp } from "../src/http/server.ts";
import { decode, restrictSharp } from "../src/image/decode.ts";
import { createFetch } from "../src/image/fetch.ts";
import { createFolderFetch } from "../src/image/folder.ts";
import { createHeicDecoder } from "../src/image/heic.ts";
import { createKeyTemplate } from "../src/image/key-template.ts";
import { connectS3, createS3Fetch } from "../src/image/s3.ts";
import { sniff } from "../src/image/sniff.ts";
import { createBatcher } from "../src/infer/batcher.ts";
import { createInference, type Inference } from "../src/infer/infer.ts";
import { type Model, openModel } from "../src/infer/model.ts";
import { type Closable, Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { createModerationWorker, type Turn, type WorkerEvents } from "../src/moderate/worker.ts";
import { packageRoot } from "../src/package-root.ts";
import { LANES } from "../src/photo.ts";
import { consume } from "../src/queue/consumer.ts";
import { openQueues } from "../src/queue/queues.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { requireSchema } from "../src/store/migrate.ts";
import { connect } from "../src/store/pool.ts";
import { recordOutcomes } from "../src/store/verdicts.ts";

/** The part of the line that needs neither queue nor database: `maitred classify` is made of it. */
export interface Judge extends Closable {
  model: Model;
  policy: Policy;
  policyText: string;
  inference: Inference;
  /** Cores that may decode at once. */
  decoders: number;
  decode(bytes: Uint8Array, turn: Turn): Promise<Uint8Array>;
  /** Puts off, as CLOSED, what waits for a slow decoder: it would outlast the time to drain. */
  refuseWaiting(): void;
}

/** @throws {ConfigError} MODEL_INVALID or POLICY_INVALID. */
export async function openJudge(config: Config): Promise<Judge> {
  const model = await openModel(config.model || join(packageRoot(), "models", "restaurant-1"));
  const policyFile = config.policy || join(packageRoot(), "policy.yaml");
  const policyText = readPolicy(policyFile);
  const policy = parsePolicy(policyText, model.categories, policyFile);
  restrictSharp();
  const cores = availableParallelism();
  // threads run the compiled entry points, whether this module is compiled or not
  const entry = (name: string): URL => new URL(`file://${join(packageRoot(), "dist", "workers", name)}`);
  const inference = createInference(entry("infer.js"), model, config);
  const heic = createHeicDecoder(entry("heic.js"), model.side, Math.max(1, Math.floor(cores / 2)));
  const limits = { side: model.side, maxPixels: config.maxPixels };
  const scope = new Scope();
  scope.hold("inference", inference);
  scope.hold("heic", heic);
  return {
    model,
    policy,
    policyText,
    inference,
    // one more than cores, so that a core is busy while another photo is between two steps
    decoders: cores + 1,
    decode(bytes, turn) {
      const work = (): Promise<Uint8Array> => decode(bytes, limits, heic.decode);
      // HEIC waits for threads of its own, and must not take a turn that others could use
      return sniff(bytes) === "heic" ? work() : turn(work);
    },
    refuseWaiting: heic.refuseWaiting,
    halt: () => scope.halt(),
    close: () => scope.close(),
  };
}

function readPolicy(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(
      "POLICY_INVALID",
      `${file}: ${asError(cause).message}; set MAITRED_POLICY to a policy file`,
      { cause },
    );
  }
}

export interface RunningWorker {
  judge: Judge;
  /** Where metrics and health are. */
  url: string;
  provider: string;
}

/**
 * Starts the worker and returns once it is warm and takes photos.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @throws {ConfigError} when a setting, model, policy, schema or queue server is not usable.
 */
export async function startWorker(
  config: Config,
  log: Logger,
  scope: Scope,
  events: Partial<WorkerEvents> = {},
): Promise<RunningWorker> {
  const broken = (where: string) => (error: Error) => log.warn({ err: error }, `${where} is unwell`);
  const db = connect(config.databaseUrl, broken("Postgres"));
  scope.onClose("Postgres", () => db.end());
  await requireSchema(db, join(packageRoot(), "migrations"));
  const server = scope.hold("queue server", openQueueServer(config, broken("the queue")));
  await server.check();
  const queues = scope.hold("queues", openQueues(server, broken("the queue")));
  await queues.ready();
  const metrics = createMetrics(() =>
    Promise.all(LANES.map(async (lane) => ({ lane, ...(await queues.depth(lane)) }))),
  );
  let ready = false;
  // tries in a row that inference failed: a worker that cannot judge says so
  let ill = 0;
  const http = scope.hold("http", await serveHttp(config, metrics, () => ready && ill < 3));

  const judge = scope.hold("judge", await openJudge(config));
  const { provider, instead, warmUpMs } = await judge.inference.ready();
  log.info({ model: judge.model.id, provider, warmUpMs: Math.round(warmUpMs) }, "the model is warm");
  if (instead && config.provider === "cuda") log.warn({ instead }, "CUDA does not run here");
  const maxBatch = judge.inference.maxBatch;
  const concurrency = config.concurrency || Math.max(24, 3 * maxBatch);
  const s3 = connectS3(config, concurrency * LANES.length);
  scope.onClose("S3", () => s3.destroy());
  const folders = config.folders
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => resolve(folder));
  const fetch = createFetch({
    s3: createS3Fetch(s3),
    ...(folders.length > 0 && { folder: createFolderFetch(folders) }),
  });
  const fetchLimits = { maxBytes: config.maxBytes, timeoutMs: config.fetchTimeoutMs };
  const worker = createModerationWorker(
    {
      fetch: (photo) => fetch(photo, fetchLimits),
      decode: judge.decode,
      runModel: judge.inference.run,
      decide: (scores) => decide(scores, judge.policy),
      record: (outcomes) => recordOutcomes(db, outcomes),
      knownFromKey: createKeyTemplate(config.keyTemplate),
      batcher: createBatcher,
      by: `model:${judge.model.id}`,
      policyText: judge.policyText,
    },
    {
      maxBatch,
      maxWaitMs: config.maxWaitMs,
      inferThreads: judge.inference.threads,
      inHand: concurrency + 2 * maxBatch,
      decoders: judge.decoders,
    },
    {
      stage(stage, lane, seconds) {
        metrics.stage(stage, lane, seconds);
        events.stage?.(stage, lane, seconds);
      },
      batch(id, photos, seconds) {
        ill = 0;
        metrics.batch(photos, seconds, provider);
        log.debug({ batch: id, photos, ms: Math.round(seconds * 1000) }, "batch");
        events.batch?.(id, photos, seconds);
      },
      left(photo, lane, outcome, changed) {
        const { result, batch } = outcome;
        const about = { photo: photo.id, bucket: photo.bucket, key: photo.key, lane, batch, changed };
        if ("failure" in result) {
          metrics.failure(lane, result.failure);
          log.warn({ ...about, code: result.failure, message: result.message }, "failed");
        } else {
          const { verdict, category, rule, reason } = result.decision;
          metrics.verdict(lane, verdict, category);
          log.info({ ...about, verdict, category, rule, reason }, "judged");
        }
        events.left?.(photo, lane, outcome, changed);
      },
      retried(photo, lane, code, error) {
        if (code === "INFERENCE_UNAVAILABLE") ill++;
        metrics.retry(lane, code);
        // a bug has no code of its own, so its stack is what helps
        log.warn(
          {
            photo: photo.id,
            lane,
            code,
            ...(code === "INTERNAL" ? { err: error } : { message: error.message }),
          },
          "will be tried again",
        );
        events.retried?.(photo, lane, code, error);
      },
    },
  );
  scope.hold("line", worker);
  const consumers: Closable[] = [];
  scope.onClose("lanes", async () => {
    ready = false;
    judge.refuseWaiting();
    // together: a lane that still took photos would stand in front of the other's
    await Promise.all(consumers.map((consumer) => consumer.close()));
  });
  for (const lane of LANES) {
    const consumer = await consume(
      server,
      lane,
      { ...config, concurrency },
      {
        async photo(photo, { last, ageMs }) {
          const since = Date.now();
          await worker.photo(photo, lane, last);
          metrics.age(lane, ageMs + Date.now() - since);
        },
        abandoned: (photo, reason) => worker.fail(photo, lane, "WORKER_CRASHED", reason),
        error: broken(`lane ${lane}`),
      },
    );
    consumers.push(consumer);
  }
  ready = true;
  log.info({ concurrency, maxBatch, url: http.url }, "taking photos");
  return { judge, url: http.url, provider };
}
