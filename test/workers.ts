import { onTestFinished } from "vitest";
import type { LineModel } from "../src/moderate/line.ts";
import type { LineOutcome } from "../src/moderate/outcome.ts";
import type { ShadowScore } from "../src/moderate/shadow.ts";
import { createModerationWorker, type WorkerDeps } from "../src/moderate/worker.ts";
import type { Lane, PhotoJob, Scores } from "../src/photo.ts";
import { latch } from "./waits.ts";

export interface Fake extends LineModel {
  /** Lets the runs go on that wait. */
  release(): void;
  runs: number[];
  closed: boolean;
}

/** A model that judges by the number of bytes it is given; `held`: its runs wait for `freeBuffer`. */
export function fake(name: string, side: number, { held = false, maxBatch = 2 } = {}): Fake {
  const gate = latch();
  if (!held) gate.resolve();
  const model: Fake = {
    by: `model:${name}`,
    provider: "cpu",
    side,
    maxBatch,
    threads: 1,
    runs: [],
    closed: false,
    release: gate.resolve,
    decode: (_bytes, turn) => turn(async () => [new Uint8Array(side * side * 3)]),
    async run(photos) {
      await gate.promise;
      if (photos.some((photo) => photo.length !== side * side * 3)) throw new Error("pixels of another side");
      model.runs.push(photos.length);
      return photos.map((): Scores => ({ categories: { [name]: 1 }, human: 0 }));
    },
    decide: () => ({ verdict: "shown", rule: "clear", reason: "", category: name, tags: [] }),
    async close() {
      model.closed = true;
    },
  };
  return model;
}

/** A worker of its own, which the end of the test closes. */
export function start(
  first: LineModel,
  recordShadow: (scores: readonly ShadowScore[]) => Promise<void> = async () => {},
  deps: Partial<WorkerDeps> = {},
) {
  const recorded: LineOutcome[] = [];
  const finished: LineOutcome[] = [];
  const shadowed: Record<string, number> = {};
  const retried: string[] = [];
  const passedOver: string[] = [];
  const worker = createModerationWorker(
    {
      fetch: async () => ({ bytes: new Uint8Array(1), known: {} }),
      time: async () => "now",
      async record(outcomes) {
        recorded.push(...outcomes);
        return new Map(outcomes.map(({ photoId }) => [photoId, { changed: true }]));
      },
      adoptReplacement: async () => {},
      recordShadow,
      knownFromKey: () => ({}),
      policy: "",
      ...deps,
    },
    first,
    { maxWaitMs: 0, decoders: 2, slowDecoders: 1 },
    {
      stage: () => {},
      batch: () => {},
      finished: (_photo, _lane, outcome) => void finished.push(outcome),
      retried: (_photo, _lane, error) => void retried.push(error.message),
      duplicateBytes: () => {},
      renditionSkipped: (_photo, error) => void passedOver.push(error.message),
      shadowed(outcome, photos) {
        shadowed[outcome] = (shadowed[outcome] ?? 0) + photos;
      },
    },
  );
  onTestFinished(() => worker.close());
  const judge = (id: string, lane: Lane = "live") => worker.photo(photo(id), lane, { tries: 1, last: false });
  return { worker, recorded, finished, shadowed, retried, passedOver, judge };
}

export const photo = (id: string): PhotoJob => ({
  id,
  store: "s3",
  bucket: "b",
  key: id,
  version: "",
  known: {},
});

export const bySigner = (recorded: LineOutcome[]) =>
  Object.fromEntries(recorded.map(({ photoId, by }) => [photoId, by]));
