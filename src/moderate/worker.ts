import { performance } from "node:perf_hooks";
import { createBatcher } from "../batcher.ts";
import { asError, type ErrorCode, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Lane, PhotoJob } from "../photo.ts";
import { type BackfillThrottle, createBackfillThrottle } from "./backfill-throttle.ts";
import { frameWithTopHuman } from "./frames.ts";
import { createHotSwap } from "./hot-swap.ts";
import {
  isPermanent,
  type LineDeps,
  type LineEvents,
  type LineModel,
  type LineSteps,
  type ModelSteps,
  moderate,
  type Try,
  type Turn,
  type Weight,
} from "./line.ts";
import type { LineOutcome, Recorded } from "./outcome.ts";
import { createPriorityLimiter, type Priority, type PriorityLimiter } from "./priority-limiter.ts";
import {
  createScore,
  digestOf,
  type KnownScores,
  type Score,
  type Scored,
  scoreEach,
  scoreUnnamed,
} from "./same-bytes.ts";
import { createShadow, type Shadow, type ShadowEvents, type ShadowScore } from "./shadow.ts";

export interface WorkerDeps extends LineDeps {
  /** Commits a group; which of its photos changed, by id. */
  record(outcomes: readonly LineOutcome[]): Promise<Map<string, Recorded>>;
  /** Whether history may say which bytes a model judged, as others may have the scores of these. */
  keepsDigests?: boolean;
  /** Scores that a model (`by`) gave to bytes with these digests, by digest; without it every photo is judged. */
  knownScores?(by: string, digests: readonly string[]): Promise<Map<string, KnownScores>>;
  recordShadow(scores: readonly ShadowScore[]): Promise<void>;
  /** Identifies the policy that every model's `decide` follows. */
  policy: string;
}

interface WorkerLimits {
  maxWaitMs: number;
  /** Photos that are decoded at once, and besides them those that have threads of their own. */
  decoders: number;
  slowDecoders: number;
}

/** What is told of the line while it runs: counters, logs, the progress of a command. */
export interface WorkerEvents extends LineEvents, ShadowEvents {
  batch(id: string, photos: number, seconds: number, provider: string): void;
  /** A photo whose bytes the model has judged before. */
  duplicateBytes(lane: Lane): void;
}

export interface ModerationWorker extends Closable {
  /** See `moderate`. */
  photo(photo: PhotoJob, lane: Lane, which: Try): Promise<void>;
  /**
   * Records a failure of a photo that never came as far as the line.
   *
   * @param how `again`: its bytes are not asked for; `patient`: what keeps them from being had for now is thrown.
   */
  fail(
    photo: PhotoJob,
    lane: Lane,
    failure: ErrorCode,
    message: string,
    how: { again: boolean; patient: boolean },
  ): Promise<void>;
  /**
   * Photos that are not decoded yet are judged by `model`, which is the worker's to close. Those that are decoded
   * are judged by the model they were decoded for; answers once that one is closed.
   */
  replace(model: LineModel): Promise<void>;
  /** Lets `model` judge a share of the live photos too, 0 to 1, instead of the shadow before; undefined: none. */
  shadow(model: LineModel | undefined, share: number): Promise<void>;
}

/**
 * The line with its two batchers: one forms a model's batches, one the groups that are committed together.
 * Limiters, which let live photos in first, keep a backlog of the archive from standing in front of an upload: at most
 * `decoders` and `slowDecoders` photos are being decoded, and one that is large. Its callers bound how many of each lane are
 * in hand, with their bytes or pixels.
 *
 * @param first the model to begin with; the worker closes it.
 */
export function createModerationWorker(
  deps: WorkerDeps,
  first: LineModel,
  limits: WorkerLimits,
  events: WorkerEvents,
): ModerationWorker {
  const decoding: Record<Weight, PriorityLimiter> = {
    ordinary: createPriorityLimiter(limits.decoders),
    slow: createPriorityLimiter(limits.slowDecoders),
    large: createPriorityLimiter(1),
  };
  const tag = `${process.pid.toString(36)}${Date.now().toString(36)}`;
  let batches = 0;
  let shadow: Shadow | undefined;

  function turnOf(of: Priority): Turn {
    return (work, weight = "ordinary") => decoding[weight](of, work);
  }

  function startPipeline(model: LineModel): ModelSteps & Closable {
    const inference = createBatcher<Uint8Array, Scored>(
      async (photos) => {
        const batch = `${tag}-${++batches}`;
        const since = performance.now();
        const scores = await model.run(photos);
        events.batch(batch, photos.length, (performance.now() - since) / 1000, model.provider);
        return scores.map((each) => ({ scores: each, batch }));
      },
      {
        maxSize: model.maxBatch,
        maxWaitMs: limits.maxWaitMs,
        workers: model.threads,
        // with a single thread the second batch waits at its door, so that it is never idle
        maxRunning: Math.max(2, model.threads),
      },
    );
    return {
      by: model.by,
      score: scoring(model.by),
      decode: (bytes, lane) => model.decode(bytes, turnOf(lane)),
      async infer(pixels, lane) {
        const { scores, batch } = frameWithTopHuman(
          await Promise.all(pixels.map((frame) => inference.add(frame, lane))),
        );
        return { scores, batch };
      },
      decide: model.decide,
      async close() {
        await inference.close();
        await model.close();
      },
    };
  }

  /** Looks scores up for as many photos at once as have come since the last look: one statement, not one a photo. */
  function scoring(by: string): Score {
    const { knownScores } = deps;
    if (!knownScores) return deps.keepsDigests ? scoreEach : scoreUnnamed;
    const lookups = createBatcher<string, KnownScores | undefined>(async (digests) => {
      const known = await knownScores(by, digests);
      return digests.map((digest) => known.get(digest));
    }, ONE_STATEMENT);
    const look = async (digest: string, lane: Lane): Promise<KnownScores | undefined> => {
      const since = performance.now();
      const known = await lookups.add(digest, lane);
      events.stage("lookup", lane, (performance.now() - since) / 1000);
      return known;
    };
    return createScore(look, events.duplicateBytes);
  }

  const models = createHotSwap(startPipeline(first));
  const throttle: BackfillThrottle =
    first.provider === "cpu"
      ? createBackfillThrottle(Math.max(1, limits.decoders - 1), QUIET_MS, () => performance.now())
      : (_lane, work) => work();
  const recorder = createBatcher<LineOutcome, Recorded>(async (outcomes) => {
    try {
      return await commit(outcomes);
    } catch (thrown) {
      if (outcomes.length === 1 || thrown instanceof UpstreamError) throw thrown;
      // one of them is what Postgres refuses: alone, each gets its own answer
      return Promise.all(outcomes.map((outcome) => commit([outcome]).then(([only]) => only!, asError)));
    }
  }, ONE_STATEMENT);
  async function commit(outcomes: readonly LineOutcome[]): Promise<Recorded[]> {
    const recorded = await deps.record(outcomes);
    // a photo that was deleted while it was in hand has no row, and nothing to change
    return outcomes.map((outcome) => recorded.get(outcome.photoId) ?? { changed: false });
  }

  async function digestAt(photo: PhotoJob, patient: boolean): Promise<string | undefined> {
    try {
      return digestOf((await deps.fetch(photo)).bytes);
    } catch (thrown) {
      if (patient && !isPermanent(asError(thrown))) throw thrown;
      return undefined;
    }
  }

  const steps: LineSteps = {
    ...deps,
    // in place of that of deps, which takes a group
    record: (outcome, lane) => recorder.add(outcome, lane),
    withModel: (lane, work) => throttle(lane, () => models.use(work)),
    by: () => models.current.by,
    shadows: (photo, lane) => lane === "live" && (shadow?.wants(photo.id) ?? false),
    shadow: (photo, judged, kept) => shadow?.offer({ photoId: photo.id, beside: judged, ...kept }),
    events,
  };

  return {
    photo: (photo, lane, which) => moderate(steps, photo, lane, which),
    async fail(photo, lane, failure, message, { again, patient }) {
      // whether they are those that were judged before; mostly it is what is done with them that kills workers
      const digest = again ? undefined : await digestAt(photo, patient);
      const result = { failure, message, transient: true, ...(digest && { digest }) };
      const { id: photoId, bucket, key, known, fed } = photo;
      const outcome = {
        photoId,
        object: { bucket, key },
        ...(fed && { fed }),
        by: steps.by(),
        policy: deps.policy,
        known,
        batch: "",
        result,
      };
      const { changed } = await steps.record(outcome, lane);
      events.finished(photo, lane, outcome, changed);
    },
    replace: (model) => models.replace(startPipeline(model)),
    async shadow(model, share) {
      const before = shadow;
      shadow =
        model && createShadow({ model, share, turn: turnOf("shadow"), record: deps.recordShadow }, events);
      await before?.close();
    },
    async close() {
      await shadow?.close();
      await models.close();
      await recorder.close();
    },
  };
}

const QUIET_MS = 10_000;
/** Whatever came while the statement before ran goes into the next. */
const ONE_STATEMENT = { maxSize: 256, maxWaitMs: 0, workers: 1, maxRunning: 1 };
