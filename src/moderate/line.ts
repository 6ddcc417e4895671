import { performance } from "node:perf_hooks";
import { asError, codeOf, isOutage, ModerationError, ReplacedError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Decision, Lane, PhotoJob, PhotoMetadata, PhotoRef, Scores } from "../photo.ts";
import { isAnyBytes } from "../version.ts";
import { freeBuffer } from "./free-buffer.ts";
import { heldFor, type Judged, type LineOutcome, type Recorded } from "./outcome.ts";
import { digestOf, type Score, type Scored } from "./same-bytes.ts";

export type Stage = "fetch" | "lookup" | "decode" | "batch" | "record" | "total";

/**
 * Slow work waits for threads of its own, and keeps no core of this one's busy; large work takes so much memory that it is
 * done one at a time.
 */
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

export interface Fetched {
  bytes: Uint8Array;
  known: PhotoMetadata;
}

/** What the line asks of what lies around it: stores, their keys, a clock. */
export interface LineDeps {
  fetch(photo: PhotoRef): Promise<Fetched>;
  knownFromKey(key: string): PhotoMetadata;
  /** Of Postgres, as it compares it with when a photo was uploaded or judged: no clock of another machine will do. */
  time(): Promise<string>;
  /**
   * Takes in the object that the store has in this photo's place, unless something has told of it; called after the commit.
   *
   * @throws {UpstreamError} nothing is known to be taken in.
   */
  adoptReplacement(photo: PhotoJob, lane: Lane): Promise<void>;
}

export interface LineEvents {
  stage(stage: Stage, lane: Lane, seconds: number): void;
  /** A photo is read itself, because its rendition cannot be judged. */
  renditionSkipped(photo: PhotoJob, error: Error): void;
  /** A photo has left the line, and what became of it is committed. */
  finished(photo: PhotoJob, lane: Lane, outcome: LineOutcome, changed: boolean): void;
  /** A try has failed that another one follows. */
  retried(photo: PhotoJob, lane: Lane, error: Error): void;
}

/** What the line is made of: its steps, each somebody else's work, and who is told. */
export interface LineSteps extends LineDeps {
  /**
   * Hands out the active model when there is room for a photo of this lane; it stays open until `work` has ended although
   * another may follow it meanwhile.
   */
  withModel<T>(lane: Lane, work: (model: ModelSteps) => Promise<T>): Promise<T>;
  /** The active model, for what none has judged. */
  by(): string;
  /** Identifies the policy that every model's `decide` follows. */
  policy: string;
  /** Returns once it is committed. `changed` is false when it had been recorded before. */
  record(outcome: LineOutcome, lane: Lane): Promise<Recorded>;
  /** Whether `shadow` is to be told of this photo, for which its bytes and pixels are kept until its commit. */
  shadows(photo: PhotoJob, lane: Lane): boolean;
  /** Told after the commit; must return at once. */
  shadow(photo: PhotoJob, judged: Judged, kept: Kept): void;
  events: LineEvents;
}

export interface Try {
  /** How many there have been, this one too; outages count for none. */
  tries: number;
  /** No further one follows: what may pass later is recorded as a failure too. */
  last: boolean;
  /** Whether the photo waits for this to pass, which costs it no try, were it the last; false unless given. */
  waitsFor?(error: Error): boolean;
}

/** A photo as it was fetched, and as its model decoded its frames, where it had to. */
export interface Kept {
  bytes: Uint8Array;
  pixels: readonly Uint8Array[] | undefined;
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
  { tries, last, waitsFor = () => false }: Try,
): Promise<void> {
  const { events } = steps;
  const begun = performance.now();
  let looked: string | undefined;
  let unread: string | undefined;
  let known: PhotoMetadata = { ...steps.knownFromKey(photo.key), ...photo.known };
  const timed = async <T>(stage: Stage, work: () => Promise<T>): Promise<T> => {
    const since = performance.now();
    const value = await work();
    events.stage(stage, lane, (performance.now() - since) / 1000);
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
      policy: steps.policy,
      known,
      batch,
      result,
    };
    const { changed, held } = await timed("record", () => steps.record(outcome, lane)).catch(
      (thrown: unknown) => {
        events.retried(photo, lane, asError(thrown));
        throw thrown;
      },
    );
    events.stage("total", lane, (performance.now() - begun) / 1000);
    events.finished(photo, lane, held ? heldFor(outcome, held) : outcome, changed);
  };

  let kept: Kept | undefined;
  const judge = async (source: PhotoRef): Promise<Judged & Scored> => {
    unread = undefined;
    if (isAnyBytes(photo.version) || photo.fed) looked = await steps.time();
    const fetched = await timed("fetch", () => steps.fetch(source));
    // the event knows best, then the object, then its key
    known = { ...steps.knownFromKey(photo.key), ...fetched.known, ...photo.known };
    return steps.withModel(lane, async (model) => {
      let pixels: Uint8Array[] | undefined;
      const scored = await model
        .score(photo.id, fetched.bytes, lane, async () => {
          const decoded = await timed("decode", () => model.decode(fetched.bytes, lane));
          pixels = decoded;
          return timed("batch", () => model.infer(decoded, lane));
        })
        .catch((thrown: unknown) => {
          unread = digestOf(fetched.bytes);
          throw thrown;
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
      events.renditionSkipped(photo, error);
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
      events.retried(photo, lane, error);
      throw error;
    }
  };

  let judged: Judged & Scored & { rendition?: boolean };
  try {
    judged = await judgeEither();
  } catch (thrown) {
    const error = asError(thrown);
    if (isTriedAgain(error, last && !waitsFor(error))) {
      events.retried(photo, lane, error);
      throw error;
    }
    const result = {
      ...{ failure: codeOf(error), message: error.message, transient: !isOfPhoto(error) },
      ...(unread && { digest: unread }),
    };
    await finish(steps.by(), "", result);
    if (error instanceof ReplacedError && !photo.found) await adoptReplacement();
    return;
  }
  const { by, batch, ...result } = judged;
  await finish(by, batch, result);
  if (kept) steps.shadow(photo, judged, kept);
}

function isTriedAgain(error: Error, last: boolean): boolean {
  return isOutage(error) || (!isPermanent(error) && !last);
}

/** Whether it says something of the photo, so that what was decided of it before does not hold any more. */
function isOfPhoto(error: Error): boolean {
  return isPermanent(error) && codeOf(error) !== "ACCESS_DENIED";
}

export function isPermanent(error: Error): boolean {
  return error instanceof ModerationError && !error.retry;
}
