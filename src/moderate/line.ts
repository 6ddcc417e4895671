import { performance } from "node:perf_hooks";
import {
  asError,
  BusyError,
  codeOf,
  type ErrorCode,
  isOutage,
  ModerationError,
  ReplacedError,
} from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Decision, Lane, PhotoJob, PhotoMetadata, PhotoRef, Scores } from "../photo.ts";
import { isAnyBytes } from "../version.ts";
import { freeBuffer } from "./free-buffer.ts";
import type { Score, Scored } from "./same-bytes.ts";

export type Stage = "fetch" | "lookup" | "decode" | "batch" | "record" | "total";

/** Slow work waits for threads of its own, and keeps no core of this one's busy; large work takes so much memory that it is done one at a time. */
export type Weight = "ordinary" | "slow" | "large";

/** @param weight default ordinary. */
export type Turn = <T>(work: () => Promise<T>, weight?: Weight) => Promise<T>;

/** A model that is open and warm. */
export interface LineModel extends Closable {
  /** As history says it: `model:NAME`. */
  by: string;
  /** Where it runs, for the metrics. */
  provider: string;
  /** Pixels, both edges of what `decode` gives and `run` takes. */
  side: number;
  /** The most frames that `run` takes. */
  maxBatch: number;
  /** Runs that are worked on at the same time. */
  threads: number;
  /**
   * @param turn runs the decoding when it is this photo's turn.
   * @returns the pixels of its one frame, or of each of several views.
   */
  decode(bytes: Uint8Array, turn: Turn): Promise<Uint8Array[]>;
  run(frames: readonly Uint8Array[]): Promise<Scores[]>;
  decide(scores: Scores): Decision;
}

/** The steps that go together: what one model's decode gives fits no other model. */
export interface ModelSteps {
  /** Who judges, as history says it: `model:NAME`. */
  by: string;
  /** Has the bytes judged, unless their scores are known. */
  score: Score;
  decode(bytes: Uint8Array, lane: Lane): Promise<Uint8Array[]>;
  /** Waits for a batch and for its run. */
  infer(pixels: readonly Uint8Array[], lane: Lane): Promise<Scored>;
  decide(scores: Scores): Decision;
}

/** A photo's bytes, and what its object's metadata says of it. */
export interface Fetched {
  bytes: Uint8Array;
  known: PhotoMetadata;
}

/** The steps of the line; each is somebody else's work. */
export interface LineSteps {
  fetch(photo: PhotoRef): Promise<Fetched>;
  /** The time of Postgres, as it compares it with when a photo was uploaded or judged: no clock of another machine will do. */
  time(): Promise<string>;
  /**
   * Hands out the active model when there is room for a photo of this lane; it stays open until `work` has ended although
   * another may follow it meanwhile.
   */
  withModel<T>(lane: Lane, work: (model: ModelSteps) => Promise<T>): Promise<T>;
  /** The active model, for what none has judged. */
  by(): string;
  /** Returns once it is committed. `changed` is false when it had been recorded before. */
  record(outcome: LineOutcome, lane: Lane): Promise<Recorded>;
  knownFromKey(key: string): PhotoMetadata;
  /**
   * Takes in the object that the store has in this photo's place, unless something has told of it; called after the commit.
   *
   * @throws {UpstreamError} nothing is known to be taken in.
   */
  adoptReplacement(photo: PhotoJob, lane: Lane): Promise<void>;
  /** Whether `shadow` is to be told of this photo, for which its bytes and pixels are kept until its commit. */
  shadows(photo: PhotoJob, lane: Lane): boolean;
  /** Told after the commit; must return at once. */
  shadow(photo: PhotoJob, judged: Judged, kept: Kept): void;
  observe(stage: Stage, lane: Lane, seconds: number): void;
  /** Told of every photo whose rendition cannot be judged, and which is now read itself. */
  renditionSkipped(photo: PhotoJob, error: Error): void;
  /** Told of every photo that has left the line, after its commit. */
  finished(photo: PhotoJob, lane: Lane, outcome: LineOutcome, changed: boolean): void;
  /** Told of every try that another one follows. */
  retried(photo: PhotoJob, lane: Lane, error: Error): void;
}

export interface Try {
  /** How many there have been, this one too; outages count for none. */
  tries: number;
  /** No further one follows: what may pass later is recorded as a failure too, unless one of these has the photo wait. */
  last: boolean;
  /** A last try whose store is away (STORE_UNAVAILABLE) has the photo wait, as nothing has shown that the store is there. */
  waits?: boolean;
  /** A last try whose store is busy has the photo wait: by its answer the store shows that it is there. */
  patient?: boolean;
}

/** A photo as it was fetched, and as its model decoded its frames, where it had to. */
export interface Kept {
  bytes: Uint8Array;
  pixels: readonly Uint8Array[] | undefined;
}

/** What a model said of a photo, and what follows from it. */
export interface Judged {
  by: string;
  scores: Scores;
  decision: Decision;
}

/** What became of one photo: a verdict by a model, or a failure with its code. */
export interface LineOutcome {
  photoId: string;
  /** The object that was judged as this photo: a Postgres that has lost its last commits gives their ids to others. */
  object?: Pick<PhotoRef, "bucket" | "key">;
  /** How many tries it took; none of a photo that never came as far as the line. */
  tries?: number;
  /** The time of Postgres before it was fetched, where its version does not say which bytes it has, or it was `fed`. */
  looked?: string;
  /**
   * It was queued for backfills: where only proposing ones wait for the photo, this is a proposal; where none does any more, it
   * was recorded before.
   */
  fed?: true;
  /** The model that judged it, or was to: `model:NAME`. */
  by: string;
  known: PhotoMetadata;
  /** Names the batch in logs and history; "" where none was formed. */
  batch: string;
  result:
    | {
        decision: Decision;
        scores: Scores;
        /** SHA-256 of the bytes that the model ran for, hex. */
        digest?: string;
        /** The same, where the scores are those of another photo. */
        copyOf?: string;
        /** The bytes were those of a rendition. */
        rendition?: boolean;
      }
    | { failure: ErrorCode; message: string; transient: boolean };
}

/** What was committed of an outcome. */
export interface Recorded {
  changed: boolean;
  /** Why the photo waits for a moderator now, in place of being shown. */
  held?: string;
}

/**
 * Takes one photo through fetch ▸ decode ▸ batch ▸ infer ▸ decide ▸ record. Returning means that its verdict or
 * its named failure is committed.
 *
 * @throws whatever may pass when tried again: UpstreamError, or a bug.
 */
export async function moderate(
  steps: LineSteps,
  photo: PhotoJob,
  lane: Lane,
  { tries, last, waits = false, patient = false }: Try,
): Promise<void> {
  const begun = performance.now();
  let looked: string | undefined;
  let known: PhotoMetadata = { ...steps.knownFromKey(photo.key), ...photo.known };
  const timed = async <T>(stage: Stage, work: () => Promise<T>): Promise<T> => {
    const since = performance.now();
    const value = await work();
    steps.observe(stage, lane, (performance.now() - since) / 1000);
    return value;
  };
  const finish = async (by: string, batch: string, result: LineOutcome["result"]): Promise<void> => {
    const outcome = {
      photoId: photo.id,
      object: { bucket: photo.bucket, key: photo.key },
      tries,
      ...(looked && { looked }),
      ...(photo.fed && { fed: photo.fed }),
      by,
      known,
      batch,
      result,
    };
    const { changed, held } = await timed("record", () => steps.record(outcome, lane)).catch(
      (thrown: unknown) => {
        steps.retried(photo, lane, asError(thrown));
        throw thrown;
      },
    );
    steps.observe("total", lane, (performance.now() - begun) / 1000);
    steps.finished(photo, lane, held ? heldFor(outcome, held) : outcome, changed);
  };

  let kept: Kept | undefined;
  const judge = async (source: PhotoRef): Promise<Judged & Scored> => {
    if (isAnyBytes(photo.version) || photo.fed) looked = await steps.time();
    const fetched = await timed("fetch", () => steps.fetch(source));
    // the event knows best, then the object, then its key
    known = { ...steps.knownFromKey(photo.key), ...fetched.known, ...photo.known };
    return steps.withModel(lane, async (model) => {
      let pixels: Uint8Array[] | undefined;
      const scored = await model.score(photo.id, fetched.bytes, lane, async () => {
        const decoded = await timed("decode", () => model.decode(fetched.bytes, lane));
        pixels = decoded;
        return timed("batch", () => model.infer(decoded, lane));
      });
      if (steps.shadows(photo, lane)) kept = { bytes: fetched.bytes, pixels };
      else freeBuffer(fetched.bytes);
      return { by: model.by, decision: model.decide(scored.scores), ...scored };
    });
  };

  const judgeEither = async (): Promise<Judged & Scored & { rendition?: boolean }> => {
    if (!photo.rendition) return judge(photo);
    try {
      return { ...(await judge(photo.rendition)), rendition: true };
    } catch (thrown) {
      const error = asError(thrown);
      if (isTriedAgain(error, last)) throw error;
      // what is wrong with a copy says nothing of the photo
      steps.renditionSkipped(photo, error);
      return judge(photo);
    }
  };

  const adoptReplacement = async (): Promise<void> => {
    try {
      await steps.adoptReplacement(photo, lane);
    } catch (thrown) {
      const error = asError(thrown);
      // what is not found now, a sweep finds
      if (!isTriedAgain(error, last)) return;
      steps.retried(photo, lane, error);
      throw error;
    }
  };

  let judged: Judged & Scored & { rendition?: boolean };
  try {
    judged = await judgeEither();
  } catch (thrown) {
    const error = asError(thrown);
    const isWaitedFor =
      (waits && codeOf(error) === "STORE_UNAVAILABLE") || (patient && error instanceof BusyError);
    if (isTriedAgain(error, last && !isWaitedFor)) {
      steps.retried(photo, lane, error);
      throw error;
    }
    const result = { failure: codeOf(error), message: error.message, transient: !isOfPhoto(error) };
    await finish(steps.by(), "", result);
    if (error instanceof ReplacedError && !photo.found) await adoptReplacement();
    return;
  }
  const { by, batch, ...result } = judged;
  await finish(by, batch, result);
  if (kept) steps.shadow(photo, judged, kept);
}

/** What was decided, but for who has to see it first. */
function heldFor(outcome: LineOutcome, reason: string): LineOutcome {
  if ("failure" in outcome.result) return outcome;
  const decision = { ...outcome.result.decision, verdict: "review", rule: "hidden-copy", reason } as const;
  return { ...outcome, result: { ...outcome.result, decision } };
}

function isTriedAgain(error: Error, last: boolean): boolean {
  return isOutage(error) || (!isPermanent(error) && !last);
}

/** Whether it says something of the photo, so that what was decided of it before does not hold any more. */
function isOfPhoto(error: Error): boolean {
  return isPermanent(error) && codeOf(error) !== "ACCESS_DENIED";
}

function isPermanent(error: Error): boolean {
  return error instanceof ModerationError && !error.retry;
}
