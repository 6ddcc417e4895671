/**
 * A process that takes the backfill lane as a worker does, fetches, decodes and judges one photo in so many, and records the
 * others from the scores that the model gave the same picture before. It prints its counts once it was told to stop.
 */

import { readConfig } from "../src/config.ts";
import { decide } from "../src/decide/decide.ts";
import { connectS3, createS3Fetch } from "../src/image/s3.ts";
import { Scope } from "../src/lifecycle.ts";
import type { LineModel } from "../src/moderate/line.ts";
import { createModerationWorker } from "../src/moderate/worker.ts";
import type { PhotoJob, Scores } from "../src/photo.ts";
import { consume } from "../src/queue/consumer.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { databaseTime } from "../src/store/photos.ts";
import { keepPolicy } from "../src/store/policies.ts";
import { connect } from "../src/store/pool.ts";
import { recordOutcomes } from "../src/store/verdicts.ts";
import { openJudge } from "../src/wiring/judge.ts";
import { numberOf } from "./store.ts";

export interface RecorderSettings {
  /** Pictures that the objects of the store repeat. */
  pictures: readonly PhotoJob[];
  /** One photo in so many is judged. */
  every: number;
  /** Photos in hand at once. */
  concurrency: number;
}

export interface Recorded {
  /** Photos that left the line, and of those, how many had their row changed by it. */
  left: number;
  changed: number;
  /** Photos whose bytes were fetched, decoded and judged. */
  judged: number;
  failed: number;
}

const { pictures, every, concurrency } = JSON.parse(process.argv[2]!) as RecorderSettings;
const config = readConfig(process.env);
const limits = { maxBytes: config.maxBytes, timeoutMs: config.fetchTimeoutMs };
const scope = new Scope();
const unwell = (error: Error): void => void process.stderr.write(`recorder: ${error.message}\n`);
const db = connect(config.databaseUrl, unwell);
scope.onClose("Postgres", () => db.end());
const server = scope.hold("queue server", openQueueServer(config, unwell));
const judge = scope.hold("judge", await openJudge(config));
const { provider } = await judge.inference.ready();
const s3 = connectS3(config, 16);
scope.onClose("S3", () => s3.destroy());
const fetch = createS3Fetch(s3);

/** In the place of a picture's bytes and pixels: what the model said of it. */
const stored = new Map<Uint8Array, Scores>();
const inPlaceOf: Uint8Array[] = [];
for (const picture of pictures) {
  const { bytes } = await fetch(picture, limits);
  const [scores] = await judge.inference.run(await judge.decode(bytes, (work) => work()));
  inPlaceOf.push(new Uint8Array(0));
  stored.set(inPlaceOf.at(-1)!, scores!);
}

const counts: Recorded = { left: 0, changed: 0, judged: 0, failed: 0 };
const model: LineModel = {
  by: `model:${judge.model.id}`,
  provider,
  side: judge.model.side,
  maxBatch: 256,
  threads: judge.inference.threads,
  decode: async (bytes, turn) => (stored.has(bytes) ? [bytes] : judge.decode(bytes, turn)),
  run: (photos) => Promise.all(photos.map(async (photo) => stored.get(photo) ?? judged(photo))),
  decide: (scores) => decide(scores, judge.policy),
  close: () => judge.close(),
};
async function judged(pixels: Uint8Array): Promise<Scores> {
  counts.judged++;
  const [scores] = await judge.inference.run([pixels]);
  return scores!;
}

const { policyText, policyId, policy } = judge;
await keepPolicy(db, { id: policyId, yaml: policyText, thresholds: policy.categories });
const worker = createModerationWorker(
  {
    async fetch(photo) {
      const n = numberOf(photo.key);
      return n % every === 0 ? fetch(photo, limits) : { bytes: inPlaceOf[n % pictures.length]!, known: {} };
    },
    time: () => databaseTime(db),
    record: (outcomes) => recordOutcomes(db, outcomes),
    adoptReplacement: async () => {},
    recordShadow: async () => {},
    knownFromKey: () => ({}),
    policy: policyId,
  },
  model,
  {
    maxWaitMs: config.maxWaitMs,
    decoders: judge.decoders,
    slowDecoders: judge.slowDecoders,
  },
  {
    stage: () => {},
    batch: () => {},
    finished(_photo, _lane, { result }, changed) {
      counts.left++;
      if (changed) counts.changed++;
      if ("failure" in result) counts.failed++;
    },
    retried: (_photo, _lane, error) => unwell(error),
    shadowed: () => {},
    duplicateBytes: () => {},
    renditionSkipped: () => {},
  },
);
scope.hold("line", worker);
const consumer = await consume(
  server,
  "backfill",
  { ...config, concurrency },
  {
    photo: (photo, which) => worker.photo(photo, "backfill", which),
    abandoned: async (photo, reason) => unwell(new Error(`photo ${photo.id} was abandoned: ${reason}`)),
    error: unwell,
  },
);
scope.hold("lane", consumer);
process.on("SIGTERM", () => {
  void scope.close().then(() => {
    process.stdout.write(JSON.stringify(counts));
    process.exit(0);
  });
});
