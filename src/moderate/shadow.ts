import { createHash } from "node:crypto";
import { asError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Decision, Scores } from "../photo.ts";
import { runFrames } from "./frames.ts";
import type { Kept, LineModel, Turn } from "./line.ts";
import type { Judged } from "./outcome.ts";

/** What the shadow said of a photo, beside what gave it its verdict. */
export interface ShadowScore {
  photoId: string;
  /** As history says it: `model:NAME`. */
  by: string;
  scores: Scores;
  /** What would have followed. */
  decision: Decision;
  beside: Judged;
}

export type ShadowOutcome = "judged" | "dropped" | "failed";

export interface ShadowEvents {
  /** @param error why they failed. */
  shadowed(outcome: ShadowOutcome, photos: number, error?: Error): void;
}

interface ShadowDeps {
  model: LineModel;
  /** Of the photos, 0 to 1. */
  share: number;
  /** Runs what keeps a core busy, when no photo of the line waits for that core. */
  turn: Turn;
  record(scores: readonly ShadowScore[]): Promise<void>;
}

export interface Shadow extends Closable {
  /** Whether the photo is of its share: the same photos in every worker, each time. */
  wants(photoId: string): boolean;
  /** Takes the photo, or drops it where too many wait; returns at once. */
  offer(photo: Offered): void;
}

interface Offered extends Kept {
  photoId: string;
  beside: Judged;
}

/**
 * A model that judges photos after the line has, and whose word counts for nothing. It works on one batch at a time;
 * of what is offered meanwhile at most two batches wait, with their bytes, and the rest is dropped. Nobody waits
 * for it, and what goes wrong in it is counted and told, never thrown.
 *
 * `close` drops what waits, ends the batch at hand, and closes the model.
 */
export function createShadow({ model, share, turn, record }: ShadowDeps, events: ShadowEvents): Shadow {
  const pixelBytes = model.side * model.side * 3;
  let waiting: Offered[] = [];
  let working: Promise<void> | undefined;
  let closed = false;

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, model.maxBatch);
      try {
        await record(await judge(batch));
        events.shadowed("judged", batch.length);
      } catch (thrown) {
        events.shadowed("failed", batch.length, asError(thrown));
      }
    }
  }

  async function judge(batch: readonly Offered[]): Promise<ShadowScore[]> {
    const pixels: (readonly Uint8Array[])[] = [];
    for (const photo of batch) {
      // what was decoded for another side is of no use here, and what was judged before was not decoded
      const fits = photo.pixels?.[0]?.length === pixelBytes;
      pixels.push(fits ? photo.pixels! : await model.decode(photo.bytes, turn));
    }
    const scores = await runFrames(pixels, model.run, model.maxBatch);
    return batch.map(({ photoId, beside }, index) => {
      const mine = scores[index]!;
      return { photoId, by: model.by, scores: mine, decision: model.decide(mine), beside };
    });
  }

  function drop(photos: number): void {
    if (photos > 0) events.shadowed("dropped", photos);
  }

  return {
    wants: (photoId) => place(photoId) < share,
    offer(photo) {
      if (closed || waiting.length >= 2 * model.maxBatch) return drop(1);
      waiting.push(photo);
      working ??= work().finally(() => {
        working = undefined;
      });
    },
    async close() {
      closed = true;
      drop(waiting.length);
      waiting = [];
      await working;
      await model.close();
    },
  };
}

/** Where among all photos this one lies, 0 to 1, evenly. */
function place(photoId: string): number {
  return createHash("sha256").update(photoId).digest().readUInt32BE(0) / 2 ** 32;
}
