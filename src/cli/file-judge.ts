import { availableParallelism } from "node:os";
import { createBatcher } from "../batcher.ts";
import type { Config } from "../config.ts";
import type { Policy } from "../decide/policy.ts";
import { each } from "../each.ts";
import { ConfigError, isOutage, ModerationError } from "../errors.ts";
import type { Label } from "../evaluate/labelled.ts";
import { readPhoto } from "../image/folder.ts";
import { createHeicDecoder, type HeicDecoder } from "../image/heic.ts";
import type { Explained, InferReady } from "../infer/infer.ts";
import type { Model } from "../infer/model.ts";
import { combineFrames, frameWithTopHuman } from "../moderate/frames.ts";
import type { Turn } from "../moderate/line.ts";
import { createPriorityLimiter } from "../moderate/priority-limiter.ts";
import { threadEntry } from "../package-root.ts";
import type { Scores } from "../photo.ts";
import { openJudge } from "../wiring/judge.ts";
import { sayStatus, type Terminal } from "./terminal.ts";

/** A model that judges files, batched and overlapped as a worker does. */
export interface FileJudge {
  model: Model;
  policy: Policy;
  policyId: string;
  ready: InferReady;
  /** Files that may be in hand at once: enough to keep every batch full. */
  width: number;
  /**
   * @throws {PhotoError} when the file is at fault.
   * @throws {UpstreamError} when it cannot be read now, or a thread crashed or cannot be begun.
   */
  scores(path: string): Promise<Scores>;
  /**
   * As `scores`, and says where, in which of the views that are judged; `bytes` are the file's. Only for a judge that was
   * opened with `explain`.
   */
  explain(path: string): Promise<Explained & { frame: number; bytes: Uint8Array }>;
  /** Lets one more piece of work keep a core busy, when it is its turn. */
  turn: Turn;
  close(): Promise<void>;
}

/**
 * Opens a model and waits until it is warm.
 *
 * @param given without it MAITRED_MODEL, or the model that ships.
 * @throws {ConfigError} where model or policy cannot be used, also when it is to explain and the model has no map.
 */
export async function openFileJudge(
  config: Config,
  given?: Model,
  { explain = false } = {},
): Promise<FileJudge> {
  const judge = await openJudge(config, given);
  const { inference, model } = judge;
  try {
    const ready = await inference.ready();
    if (explain && !ready.maps) {
      throw new ConfigError(
        `${model.id} ${ready.variant}: expected an output human_map, which says where; take another model or variant`,
      );
    }
    const limits = {
      maxSize: inference.maxBatch,
      maxWaitMs: config.maxWaitMs,
      workers: inference.threads,
      maxRunning: Math.max(2, inference.threads),
    };
    const batcher = createBatcher<Uint8Array, Scores>(inference.run, limits);
    const explainer = createBatcher<Uint8Array, Explained>(inference.explain, limits);
    const [limiter, large] = [createPriorityLimiter(judge.decoders), createPriorityLimiter(1)];
    const turn: Turn = (work, weight) =>
      weight === "slow" ? work() : (weight === "large" ? large : limiter)("live", work);
    return {
      model,
      policy: judge.policy,
      policyId: judge.policyId,
      ready,
      width: 3 * inference.maxBatch,
      turn,
      async scores(path) {
        const bytes = await readPhoto(path, config.maxBytes);
        const frames = await judge.decode(bytes, turn);
        return combineFrames(await Promise.all(frames.map((frame) => batcher.add(frame, "live"))));
      },
      async explain(path) {
        const bytes = await readPhoto(path, config.maxBytes);
        const frames = await judge.decode(bytes, turn);
        return {
          ...frameWithTopHuman(await Promise.all(frames.map((frame) => explainer.add(frame, "live")))),
          bytes,
        };
      },
      async close() {
        // a process that ends inside of a model run is aborted
        await Promise.all([batcher.close(), explainer.close()]);
        await judge.close();
      },
    };
  } catch (error) {
    await judge.close();
    throw error;
  }
}

/** Decodes HEIC photos for pictures that people look at. Starts nothing until there is one. */
export function openPictureHeic(): HeicDecoder {
  return createHeicDecoder(threadEntry("heic"), Math.max(1, Math.floor(availableParallelism() / 2)));
}

interface Unjudged {
  file: string;
  error: ModerationError;
}

/**
 * Judges labelled photos and keeps nothing of them but their scores. A photo that cannot be judged does not stop it.
 *
 * @returns scores by label, undefined where the photo is among `unjudged`.
 * @throws whatever is no photo's fault: where inference is away, the judge is closed, or this process has no descriptor or thread left.
 */
export async function judgeLabels(
  judge: FileJudge,
  labels: readonly Label[],
  onPhoto: (done: number) => void = () => {},
): Promise<{ scores: (Scores | undefined)[]; unjudged: Unjudged[] }> {
  const scores: (Scores | undefined)[] = Array(labels.length).fill(undefined);
  const unjudged: Unjudged[] = [];
  let done = 0;
  await each(labels.entries(), judge.width, async ([index, { path, file }]) => {
    try {
      scores[index] = await judge.scores(path);
    } catch (error) {
      if (!(error instanceof ModerationError) || isOutage(error)) throw error;
      unjudged.push({ file, error });
    }
    onPhoto(++done);
  });
  unjudged.sort((a, b) => (a.file < b.file ? -1 : 1));
  return { scores, unjudged };
}

/** Says how far a long run is: one line that is redrawn on a terminal, a line every few seconds elsewhere. */
export function createCounter(terminal: Terminal, what: string, of: number) {
  const since = performance.now();
  let done = 0;
  const draw = (): void => {
    const rate = ((1000 * done) / (performance.now() - since)).toFixed(1);
    sayStatus(terminal, `${what}: ${done}/${of} photos, ${rate}/s`);
  };
  const timer = setInterval(draw, terminal.columns > 0 ? 100 : 5_000);
  return {
    count(now: number): void {
      done = now;
    },
    stop(): void {
      clearInterval(timer);
      draw();
      if (terminal.columns > 0) terminal.say("\n");
    },
  };
}
