import { describe, expect } from "vitest";
import type { LineModel } from "../../src/moderate/line.ts";
import { createModerationWorker } from "../../src/moderate/worker.ts";
import { LANES, type Lane, type PhotoJob, type Scores } from "../../src/photo.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { databaseTime, registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { BACKENDS, test } from "../fixtures.ts";

/** A model whose runs end when told to. Of a photo it knows the first byte of its pixels. */
function heldModel() {
  const runs: number[][] = [];
  const begun: ((run: number[]) => void)[] = [];
  const held: (() => void)[] = [];
  let open = false;
  const model: LineModel = {
    by: "model:held",
    provider: "cpu",
    side: 1,
    maxBatch: 4,
    threads: 1,
    decode: async (bytes) => [bytes],
    async run(photos) {
      const run = photos.map((photo) => photo[0]!);
      runs.push(run);
      begun.shift()?.(run);
      if (!open) await new Promise<void>((end) => held.push(end));
      return photos.map((): Scores => ({ categories: { food: 1 }, human: 0 }));
    },
    decide: () => ({ verdict: "shown", rule: "clear", reason: "", category: "food", tags: [] }),
    close: async () => {},
  };
  return {
    model,
    runs,
    /** The photos of the next run that begins. */
    next: () => new Promise<number[]>((resolve) => begun.push(resolve)),
    end: () => held.shift()!(),
    /** From now on every run ends by itself. */
    open() {
      open = true;
      for (const end of held) end();
    },
  };
}

describe.each(BACKENDS)("with a backlog of a backfill in the queue on %s", (backend) => {
  test("an upload is first in the next batch that is formed", async ({ configFor, db, scope }) => {
    const config = configFor(backend);
    const server = scope.hold(
      "server",
      openQueueServer(config, () => {}),
    );
    const queues = scope.hold(
      "queues",
      openQueues(server, () => {}),
    );
    await queues.ready();
    const { model, runs, next, end, open } = heldModel();
    const committed = new Map<string, Lane>();
    let told = (): void => {};
    let arrived = (): void => {};
    const uploadArrived = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const worker = createModerationWorker(
      {
        fetch: async ({ key }) => ({ bytes: Uint8Array.of(Number(key)), known: {} }),
        time: () => databaseTime(db.pool),
        record: (outcomes) => recordOutcomes(db.pool, outcomes),
        adoptReplacement: async () => {},
        recordShadow: async () => {},
        knownFromKey: () => ({}),
        policy: "",
      },
      model,
      { maxWaitMs: 0, decoders: 3, slowDecoders: 1 },
      {
        stage: (stage, lane) => stage === "decode" && lane === "live" && arrived(),
        batch: () => {},
        finished(photo, lane) {
          committed.set(photo.id, lane);
          told();
        },
        retried: () => {},
        shadowed: () => {},
        duplicateBytes: () => {},
        renditionSkipped: () => {},
      },
    );
    scope.hold("line", worker);
    const add = async (lane: Lane, ...numbers: number[]): Promise<PhotoJob[]> => {
      const refs = numbers.map((n) => ({ store: "s3" as const, bucket: "b", key: String(n), version: "" }));
      const photos = await registerPhotos(
        db.pool,
        refs.map((ref) => ({ ...ref, known: {} })),
        lane,
      );
      await queues.add(lane, photos);
      return photos;
    };
    const backlog = Array.from({ length: 60 }, (_, n) => n + 1);
    await add("backfill", ...backlog);
    const first = next();
    for (const lane of LANES) {
      const handlers = {
        photo: (photo: PhotoJob) => worker.photo(photo, lane, { tries: 1, last: false }),
        abandoned: async () => {},
        error: () => {},
      };
      scope.hold(lane, await consume(server, lane, { ...config, concurrency: 24 }, handlers));
    }
    // one runs, and one waits at the thread's door: what is formed from now on comes after them
    await first;
    if (runs.length < 2) await next();

    const [upload] = await add("live", 100);
    await uploadArrived;
    // from its decoding to the batcher, which is a matter of promises alone
    await new Promise(setImmediate);
    const formed = next();
    end();
    const batch = await formed;
    expect(batch[0]).toBe(100);
    expect(batch.slice(1).every((number) => backlog.includes(number))).toBe(true);

    // whatever came first, each is judged once
    const all = new Promise<void>((resolve) => {
      told = () => committed.size === 61 && resolve();
    });
    open();
    await all;
    expect(committed.get(upload!.id)).toBe("live");
    expect(runs.flat().sort((a, b) => a - b)).toEqual([...backlog, 100]);
  });
});
