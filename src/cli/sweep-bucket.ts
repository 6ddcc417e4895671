import { setTimeout as sleep } from "node:timers/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { feedLimit } from "../../workers/feed.ts";
import type { Config } from "../config.ts";
import { headObject, keepsVersions, listPages, requireBucket } from "../image/s3-listing.ts";
import { queuePhotos, queueUnqueued } from "../intake/ingest-events.ts";
import { createPace } from "../intake/pace.ts";
import { type Committed, type Step, sweep, type Totals } from "../intake/sweep.ts";
import type { Lane } from "../photo.ts";
import { markQueued, unqueuedPhotos } from "../store/events.ts";
import {
  abandonSweep,
  beginSweep,
  countKnown,
  finishSweep,
  knownAmong,
  knownObjects,
  lockSweeps,
  objectStates,
  type SweepRow,
  sweepStep,
} from "../store/sweeps.ts";
import type { Intake } from "./intake.ts";

export interface Target {
  bucket: string;
  prefix: string;
}

export interface BucketSweep {
  intake: Intake;
  s3: S3Client;
  config: Config;
  signal: AbortSignal;
  dryRun: boolean;
  restart: boolean;
  allowRemovals: boolean;
  lane: Lane;
  graceMs: number;
  /** Requests to the store a second. */
  rate: number;
  /** Photos that may wait in the lane, besides those that a feeder keeps there, before this waits. */
  queueLimit: number;
  pageSize?: number;
  progress(totals: Totals, cursor: string): void;
  say(text: string): void;
}

export interface Result extends Totals, Target {
  seconds: number;
  dryRun: boolean;
  /** Whether every key was looked at. */
  finished: boolean;
  stopped?: string;
  /** Keys that the store listed elsewhere than in the order of their bytes, which made it slower. */
  unordered?: { keys: number; such: string };
  /** Of a dry run, some of the keys. */
  samples?: { missed: string[]; gone: string[] };
}

/** One sweep of one bucket, from where the last one was interrupted to its end, with all its neighbours. */
export async function sweepBucket(target: Target, how: BucketSweep): Promise<Result> {
  const { bucket } = target;
  if (how.dryRun) return run(target, how);
  const lock = await lockSweeps(how.intake.db, bucket);
  const busy = `another sweep of ${bucket} runs; wait for its end`;
  if (!lock) return { ...target, ...NOTHING, seconds: 0, dryRun: false, finished: false, stopped: busy };
  try {
    return await run(target, how);
  } finally {
    await lock.close();
  }
}

async function run(target: Target, how: BucketSweep): Promise<Result> {
  const { bucket, prefix } = target;
  const { s3, signal, intake } = how;
  const asking = { s3, bucket, turn: createPace(how.rate, signal), signal };
  const versions = await keepsVersions(asking);
  // once the bucket has answered: what is none would be shown as a sweep that never ends
  const row = how.dryRun ? undefined : await begin(target, how);
  const begun = performance.now();
  const samples = { missed: [] as string[], gone: [] as string[] };
  const clock = createClock();
  const listing = { prefix, versions, pageSize: how.pageSize ?? 1_000 };
  const swept = await sweep(
    {
      pages: (after) => listPages(asking, { ...listing, after }),
      known: (after, upTo, limit) => knownObjects(intake.db, bucket, { after, upTo, prefix }, limit),
      knownOf: (keys) => knownAmong(intake.db, bucket, keys),
      countKnown: (limit) => countKnown(intake.db, bucket, prefix, limit),
      states: (keys) => objectStates(intake.db, bucket, keys),
      look: (key) => headObject(asking, key),
      requireBucket: () => requireBucket(asking),
      room: () => (row ? room(how) : Promise.resolve()),
      commit: (step) => (row ? commit(target, how, row, step, clock()) : note(step, samples)),
    },
    { graceMs: how.graceMs, versions, allowRemovals: how.allowRemovals || how.dryRun },
    row ?? { cursor: "", ...NOTHING },
    signal,
    how.progress,
  );
  const { refused, ...totals } = swept;
  if (!refused && row) await finishSweep(intake.db, row.id, clock());
  return {
    ...target,
    ...totals,
    seconds: (row?.seconds ?? 0) + (performance.now() - begun) / 1_000,
    dryRun: how.dryRun,
    finished: !refused,
    ...(refused && {
      stopped: `${refused.removals} of ${refused.known} known photos are gone from the bucket, which is a lot: nothing of this page was withdrawn. Is it the right bucket, and complete? Then run it again with --allow-removals`,
    }),
    ...(how.dryRun && { samples }),
  };
}

async function begin({ bucket, prefix }: Target, how: BucketSweep): Promise<SweepRow> {
  const { db } = how.intake;
  if (how.restart) await abandonSweep(db, bucket, prefix);
  const row = await beginSweep(db, bucket, prefix);
  if (row.cursor !== "") how.say(`goes on behind ${JSON.stringify(row.cursor)}`);
  // what a sweep that died had committed and not queued
  await queueUnqueued(queueDeps(how), FORGOTTEN_S);
  return row;
}

function queueDeps({ intake }: BucketSweep) {
  return {
    add: intake.queues.add,
    markQueued: (ids: readonly string[]) => markQueued(intake.db, ids),
    unqueued: (olderThanS: number, limit: number) => unqueuedPhotos(intake.db, olderThanS, limit),
  };
}

/** Rows first, then the queue, then the mark: what dies in between is queued by queueUnqueued. */
async function commit(
  { bucket }: Target,
  how: BucketSweep,
  row: SweepRow,
  { from, to, counts, items }: Step,
  seconds: number,
): Promise<Committed> {
  const { config, intake, lane } = how;
  const outcomes = await sweepStep(
    intake.db,
    row.id,
    { from, to, counts: { ...counts, seconds }, items },
    { pad: config.sequencerPad, erase: config.removed === "erase", lane },
  );
  const done = { missed: 0, gone: 0, known: 0, unclear: 0 };
  const photos = outcomes.flatMap(({ photoId, outcome, queue }, index) => {
    const { kind, key, version } = items[index]!;
    if (outcome === "accepted") done.missed++;
    else if (outcome === "removed") done.gone++;
    else if (outcome === "known") done.known++;
    else done.unclear++;
    if (kind === "removed" || !queue || photoId === null) return [];
    return [{ id: photoId, store: "s3" as const, bucket, key, version, known: {} }];
  });
  await queuePhotos(queueDeps(how), lane, photos);
  return done;
}

/** What a dry run does instead. */
async function note({ items }: Step, samples: { missed: string[]; gone: string[] }): Promise<Committed> {
  const done = { missed: 0, gone: 0, known: 0, unclear: 0 };
  for (const { kind, key } of items) {
    const what = kind === "created" ? "missed" : "gone";
    done[what]++;
    if (samples[what].length < SAMPLES) samples[what].push(key);
  }
  return done;
}

async function room({ intake, config, lane, queueLimit, signal, say }: BucketSweep): Promise<void> {
  for (let told = false; ; told = true) {
    const { waiting, paused } = await intake.queues.depth(lane);
    // what a feeder keeps there never becomes less for as long as its backfill runs
    const fed = lane === "backfill" ? await feedLimit(config, intake.db) : 0;
    if (waiting < queueLimit + fed) return;
    const why = paused ? `, which is paused: maitred queue resume ${lane}` : "";
    if (!told) say(`waits: ${waiting} photos are in the lane ${lane} already (--queue)${why}`);
    await sleep(ROOM_MS, undefined, { signal });
  }
}

/** Seconds since the call before. */
function createClock(): () => number {
  let last = performance.now();
  return () => {
    const since = last;
    last = performance.now();
    return (last - since) / 1_000;
  };
}

const NOTHING: Totals = { listed: 0, known: 0, missed: 0, gone: 0, young: 0, unclear: 0 };
const SAMPLES = 10;
const ROOM_MS = 1_000;
const FORGOTTEN_S = 30;
