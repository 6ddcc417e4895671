import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { connect } from "../src/store/pool.ts";
import { knownScores } from "../src/store/verdicts.ts";
import { measureLine } from "./line.ts";
import { linkPhotos } from "./photos.ts";
import { unhurried } from "./unhurried.ts";

/** Of one run; the milliseconds are of all threads of this process, without Postgres and Redis. */
export interface Rate {
  photosPerS: number;
  cpuMsPerPhoto: number;
}

export interface Spared {
  photos: number;
  meanBytes: number;
  /** Milliseconds of this thread for the SHA-256 of a photo of the mean size, and of one of 300 kB. */
  hashMs: { mean: number; of300kB: number };
  /** Unique photos, run by run: judged each, and looked up first. */
  unique: { each: Rate[]; once: Rate[] };
  /** Where all photos are copies of 22. */
  copies: Rate;
}

/** What it costs to look for the same bytes, and what it saves. @param configFor a worker's settings on a folder. */
export async function measureSameBytes(
  configFor: (folder: string, duplicates: "each" | "once") => Config,
  paths: readonly string[],
  work: string,
  photos: number,
  rounds: number,
): Promise<Spared> {
  const unique = join(work, "unique");
  copyPhotos(paths, unique, photos);
  const copies = join(work, "copies");
  linkPhotos(paths.slice(0, 22), copies, photos);
  const meanBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0) / paths.length;
  const rates: Spared["unique"] = { each: [], once: [] };
  for (let round = 0; round < rounds; round++) {
    // in turn first and second, so that whatever changes with time is in both
    for (const how of round % 2 ? (["once", "each"] as const) : (["each", "once"] as const))
      rates[how].push(await rate(configFor(unique, how), unique, photos));
  }
  const hashMs = { mean: hashTime(Math.round(meanBytes)), of300kB: hashTime(300_000) };
  return {
    photos,
    meanBytes,
    hashMs,
    unique: rates,
    copies: await rate(configFor(copies, "once"), copies, photos),
  };
}

/** The start of the worker is in its CPU time, the same each time. */
async function rate(config: Config, folder: string, photos: number): Promise<Rate> {
  const before = process.cpuUsage();
  const { photosPerS } = await measureLine(config, folder);
  const { user, system } = process.cpuUsage(before);
  return { photosPerS, cpuMsPerPhoto: (user + system) / 1_000 / photos };
}

export interface Looked {
  rows: number;
  /** Bytes of a row of the index that there is, of a hash index, and of a tree over all of the digest. */
  bytesPerRow: { prefix: number; hash: number; tree: number };
  /** Milliseconds of one statement for so many photos of which half are known: median and 95th of a hundred. */
  lookupMs: Record<string, { p50: number; p95: number }>;
}

/** The look for digests among `rows` of them. */
export async function measureLookups(config: Config, rows: number): Promise<Looked> {
  await migrateAll(config);
  const db = connect(unhurried(config.databaseUrl), () => {}, 2);
  const client = await db.connect();
  try {
    await client.query("set statement_timeout = 0");
    await client.query("truncate photos, tags, verdicts cascade");
    const photo = await client.query(
      "insert into photos (store, bucket, key) values ('s3', 'b', 'k') returning id",
    );
    // rows come one after the other, as they do in life: an index that is built at once is smaller
    await client.query("create index bench_hash on verdicts using hash (digest)");
    await client.query("create index bench_tree on verdicts (digest)");
    await client.query(
      `insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, digest)
      select $1, 'shown', 'clear', '', 'food', 0, '{"food": 1}', 'model:m', sha256(n::text::bytea)
      from generate_series(1, $2::integer) n`,
      [photo.rows[0].id, rows],
    );
    const size = async (index: string): Promise<number> =>
      (await client.query("select pg_relation_size($1::regclass)::float8 as bytes", [index])).rows[0].bytes;
    const bytesPerRow = {
      prefix: (await size("verdicts_digest")) / rows,
      hash: (await size("bench_hash")) / rows,
      tree: (await size("bench_tree")) / rows,
    };
    await client.query("drop index bench_hash, bench_tree");
    await client.query("vacuum analyze verdicts");
    const lookupMs: Looked["lookupMs"] = {};
    for (const photos of [1, 8, 64, 256]) {
      const times: number[] = [];
      for (let n = 0; n < 110; n++) {
        const digests = Array.from({ length: photos }, (_, i) =>
          digestOf(i % 2 ? randomBytes(8) : known(rows)),
        );
        const since = performance.now();
        await knownScores(db, "model:m", digests);
        if (n >= 10) times.push(performance.now() - since);
      }
      times.sort((a, b) => a - b);
      lookupMs[photos] = { p50: times[50]!, p95: times[95]! };
    }
    return { rows, bytesPerRow, lookupMs };
  } finally {
    client.release();
    await db.end();
  }
}

/** Copies that differ in their last bytes, which no decoder reads. */
function copyPhotos(paths: readonly string[], folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  for (let n = 0; n < count; n++) {
    const bytes = readFileSync(paths[n % paths.length]!);
    writeFileSync(join(folder, `${String(n).padStart(6, "0")}.jpg`), Buffer.concat([bytes, randomBytes(8)]));
  }
}

function hashTime(size: number): number {
  const bytes = randomBytes(size);
  const times = 300;
  const since = performance.now();
  for (let n = 0; n < times; n++) digestOf(bytes);
  return (performance.now() - since) / times;
}

function known(rows: number): Buffer {
  return Buffer.from(String(1 + Math.floor(Math.random() * rows)));
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
