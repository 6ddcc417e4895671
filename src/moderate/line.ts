import { performance } from "node:perf_hooks";
import { asError, codeOf, ModerationError } from "../errors.ts";
import type { Decision, Known, Lane, PhotoJob, PhotoRef, Scores } from "../photo.ts";

export type Stage = "fetch" | "decode" | "batch" | "record" | "total";

/** The steps of the line; each is somebody else's work. */
export interface LineSteps {
  fetch(photo: PhotoRef): Promise<{ bytes: Uint8Array; known: Known }>;
  decode(bytes: Uint8Array, lane: Lane): Promise<Uint8Array>;
  /** Waits for a batch and for its run. */
  infer(pixels: Uint8Array, lane: Lane): Promise<{ scores: Scores; batch: string }>;
  decide(scores: Scores): Decision;
  /** Returns once it is committed. `changed` is false when it had been recorded before. */
  record(outcome: LineOutcome, lane: Lane): Promise<{ changed: boolean }>;
  knownFromKey(key: string): Known;
  observe(stage: Stage, lane: Lane, seconds: number): void;
  /** Told of every photo that has left the line, after its commit. */
  left(photo: PhotoJob, lane: Lane, outcome: LineOutcome, changed: boolean): void;
  /** Told of every try that another one follows. */
  retried(photo: PhotoJob, lane: Lane, error: Error): void;
}

export interface LineOutcome {
  photoId: string;
  known: Known;
  batch: string;
  result:
    | { decision: Decision; scores: Scores }
    | { failure: ReturnType<typeof codeOf>; message: string; transient: boolean };
}

/**
 * Takes one photo through fetch ▸ decode ▸ batch ▸ infer ▸ decide ▸ record. Returning means that its verdict or
 * its named failure is committed.
 *
 * @param last no further try follows, so that what may pass later is recorded as a failure too.
 * @throws whatever may pass when tried again: UpstreamError, or a bug.
 */
export async function moderate(steps: LineSteps, photo: PhotoJob, lane: Lane, last: boolean): Promise<void> {
  const begun = performance.now();
  let known: Known = { ...steps.knownFromKey(photo.key), ...photo.known };
  const timed = async <T>(stage: Stage, work: () => Promise<T>): Promise<T> => {
    const since = performance.now();
    const value = await work();
    steps.observe(stage, lane, (performance.now() - since) / 1000);
    return value;
  };
  const finish = async (batch: string, result: LineOutcome["result"]): Promise<void> => {
    const outcome = { photoId: photo.id, known, batch, result };
    const { changed } = await timed("record", () => steps.record(outcome, lane));
    steps.observe("total", lane, (performance.now() - begun) / 1000);
    steps.left(photo, lane, outcome, changed);
  };

  let judged: { scores: Scores; batch: string };
  try {
    const fetched = await timed("fetch", () => steps.fetch(photo));
    // the event knows best, then the object, then its key
    known = { ...steps.knownFromKey(photo.key), ...fetched.known, ...photo.known };
    const pixels = await timed("decode", () => steps.decode(fetched.bytes, lane));
    judged = await timed("batch", () => steps.infer(pixels, lane));
  } catch (thrown) {
    const error = asError(thrown);
    const permanent = error instanceof ModerationError && !error.retry;
    // these two are never the photo's fault: pixels cannot make the model fail
    const ours =
      error instanceof ModerationError && (error.code === "CLOSED" || error.code === "INFERENCE_UNAVAILABLE");
    if (ours || (!permanent && !last)) {
      steps.retried(photo, lane, error);
      throw error;
    }
    return finish("", { failure: codeOf(error), message: error.message, transient: !permanent });
  }
  await finish(judged.batch, { decision: steps.decide(judged.scores), scores: judged.scores });
}
