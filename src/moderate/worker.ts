import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import { asError, codeOf, type ErrorCode, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Decision, Known, Lane, PhotoJob, PhotoRef, Scores } from "../photo.ts";
import { createGate } from "./gate.ts";
import { type LineOutcome, type LineSteps, moderate, type Stage } from "./line.ts";

/** A batcher's shape: calls for one become calls for many. */
export interface Batching<In, Out> extends Closable {
  add(item: In, lane: Lane): Promise<Out>;
}

export type Turn = <T>(work: () => Promise<T>) => Promise<T>;

export interface WorkerDeps {
  fetch(photo: PhotoRef): Promise<{ bytes: Uint8Array; known: Known }>;
  /** @param turn runs what keeps a core busy, when it is this photo's turn. */
  decode(bytes: Uint8Array, turn: Turn): Promise<Uint8Array>;
  runModel(photos: readonly Uint8Array[]): Promise<Scores[]>;
  decide(scores: Scores): Decision;
  /** Commits a group; which of its photos changed, by id. */
  record(outcomes: readonly RecordedOutcome[]): Promise<Map<string, boolean>>;
  knownFromKey(key: string): Known;
  batcher<In, Out>(
    run: (items: In[]) => Promise<readonly (Out | Error)[]>,
    limits: { maxSize: number; maxWaitMs: number; workers: number; maxRunning: number },
  ): Batching<In, Out>;
  /** Who judges, as history says it: `model:NAME`. */
  by: string;
  /** The text of the policy that `decide` follows. */
  policyText: string;
}

export interface RecordedOutcome extends LineOutcome {
  by: string;
  policy: string;
}

export interface WorkerLimits {
  maxBatch: number;
  maxWaitMs: number;
  /** Batches that inference works on at the same time. */
  inferThreads: number;
  /** Photos in hand, of both lanes together. */
  inHand: number;
  /** Photos that are decoded at once. */
  decoders: number;
}

/** What is told of the line while it runs: counters, logs, the progress of a command. */
export interface WorkerEvents {
  stage(stage: Stage, lane: Lane, seconds: number): void;
  batch(id: string, photos: number, seconds: number): void;
  left(photo: PhotoJob, lane: Lane, outcome: LineOutcome, changed: boolean): void;
  retried(photo: PhotoJob, lane: Lane, code: ErrorCode, error: Error): void;
}

export interface ModerationWorker extends Closable {
  /** See `moderate`. */
  photo(photo: PhotoJob, lane: Lane, last: boolean): Promise<void>;
  /** Records a failure of a photo that never came as far as the line. */
  fail(photo: PhotoJob, lane: Lane, failure: ErrorCode, message: string): Promise<void>;
}

/**
 * The line with its two batchers: one forms the model's batches, one the groups that are committed together.
 * Two gates, live photos first, keep a backlog of the archive from standing in front of an upload and bound the
 * memory: at most `inHand` photos have bytes or pixels here, and at most `decoders` are being decoded.
 */
export function createModerationWorker(
  deps: WorkerDeps,
  limits: WorkerLimits,
  events: WorkerEvents,
): ModerationWorker {
  const policy = createHash("sha256").update(deps.policyText).digest("hex").slice(0, 12);
  const admission = createGate(limits.inHand);
  const decoding = createGate(limits.decoders);
  const tag = `${process.pid.toString(36)}${Date.now().toString(36)}`;
  let batches = 0;

  const inference = deps.batcher<Uint8Array, { scores: Scores; batch: string }>(
    async (photos) => {
      const batch = `${tag}-${++batches}`;
      const since = performance.now();
      const scores = await deps.runModel(photos);
      events.batch(batch, photos.length, (performance.now() - since) / 1000);
      return scores.map((each) => ({ scores: each, batch }));
    },
    {
      maxSize: limits.maxBatch,
      maxWaitMs: limits.maxWaitMs,
      workers: limits.inferThreads,
      // with a single thread the second batch waits at its door, so that it is never idle
      maxRunning: Math.max(2, limits.inferThreads),
    },
  );
  const recorder = deps.batcher<LineOutcome, { changed: boolean }>(
    async (outcomes) => {
      try {
        return await commit(outcomes);
      } catch (thrown) {
        if (outcomes.length === 1 || thrown instanceof UpstreamError) throw thrown;
        // one of them is what Postgres refuses: alone, each gets its own answer
        return Promise.all(outcomes.map((outcome) => commit([outcome]).then(([only]) => only!, asError)));
      }
    },
    { maxSize: 256, maxWaitMs: 0, workers: 1, maxRunning: 1 },
  );
  async function commit(outcomes: readonly LineOutcome[]): Promise<{ changed: boolean }[]> {
    const changed = await deps.record(outcomes.map((outcome) => ({ ...outcome, by: deps.by, policy })));
    // a photo that was deleted while it was in hand has no row, and nothing to change
    return outcomes.map((outcome) => ({ changed: changed.get(outcome.photoId) ?? false }));
  }

  const steps: LineSteps = {
    fetch: deps.fetch,
    decode: (bytes, lane) => deps.decode(bytes, (work) => decoding(lane, work)),
    infer: (pixels, lane) => inference.add(pixels, lane),
    decide: deps.decide,
    record: (outcome, lane) => recorder.add(outcome, lane),
    knownFromKey: deps.knownFromKey,
    observe: events.stage,
    left: events.left,
    retried: (photo, lane, error) => events.retried(photo, lane, codeOf(error), error),
  };

  return {
    photo: (photo, lane, last) => admission(lane, () => moderate(steps, photo, lane, last)),
    async fail(photo, lane, failure, message) {
      const result = { failure, message, transient: true };
      const outcome = { photoId: photo.id, known: photo.known, batch: "", result };
      const { changed } = await steps.record(outcome, lane);
      events.left(photo, lane, outcome, changed);
    },
    async close() {
      await inference.close();
      await recorder.close();
    },
  };
}
