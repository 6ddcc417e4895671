import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import { registerPhotos } from "../src/store/photos.ts";
import type { Pool } from "../src/store/pool.ts";
import { type Outcome, recordOutcomes } from "../src/store/verdicts.ts";
import { type Times, timed, timesOf } from "./times.ts";

/** As the client sees them. */
interface Runs extends Times {
  runs: number;
}

interface DocumentedQuery {
  /** Its first line, a comment. */
  title: string;
  sql: string;
}

/** The queries of docs/tables.md, each a block of its own. */
export function documentedQueries(): DocumentedQuery[] {
  const text = readFileSync(join(packageRoot(), "docs/tables.md"), "utf8");
  return [...text.matchAll(/^```sql\n-- (.+)\n((?:.*\n)*?)^```/gm)].map(([, title, sql]) => ({
    title: title!,
    sql: sql!,
  }));
}

/** Each query, so many times, on one connection. Every run asks for another listing, photo and category. */
export async function timeQueries(db: Pool, photos: number, runs: number): Promise<Record<string, Runs>> {
  const times: Record<string, Runs> = {};
  for (const { title, sql } of documentedQueries()) {
    const each = async (): Promise<void> => {
      const asked = sql
        .replaceAll(
          /(listing = )'42'/g,
          (_, column) => `${column}'${Math.floor((Math.random() ** 2 * photos) / 50)}'`,
        )
        .replaceAll(
          /(photo_id = )4711\b/g,
          (_, column) => `${column}${1 + Math.floor(Math.random() * photos)}`,
        );
      await db.query(asked);
    };
    await each();
    times[title] = runsOf(await timed(runs, each));
  }
  return times;
}

/** Groups of 256 verdicts of photos that were judged before and lie together, as a backfill gives them. */
export async function timeArchive(db: Pool, photos: number, runs: number): Promise<Runs> {
  const group = async (): Promise<unknown> => {
    const first = 1 + Math.floor(Math.random() * (photos - GROUP));
    return recordOutcomes(
      db,
      Array.from({ length: GROUP }, (_, n) => judged(String(first + n))),
    );
  };
  return runsOf(await timed(runs, group));
}

/** The same of photos that lie all over the tables, most of them not in memory. */
export async function timeScattered(db: Pool, photos: number, runs: number): Promise<Runs> {
  const group = async (): Promise<unknown> => {
    const ids = Array.from({ length: GROUP }, () => String(1 + Math.floor(Math.random() * photos)));
    return recordOutcomes(db, [...new Set(ids)].map(judged));
  };
  return runsOf(await timed(runs, group));
}

/** Groups of 256 verdicts of photos that were just registered, as uploads are. */
export async function timeUploads(db: Pool, runs: number): Promise<Runs> {
  const groups: string[][] = [];
  for (let group = 0; group < runs; group++) groups.push(await upload(db));
  return runsOf(await timed(runs, async () => recordOutcomes(db, groups.pop()!.map(judged))));
}

/** Registers groups of uploads and gives them verdicts until `stop` says so; the times are those of both together. */
export async function writeBeside(db: Pool, stop: AbortSignal): Promise<Runs> {
  const ms: number[] = [];
  while (!stop.aborted)
    ms.push(...(await timed(1, async () => recordOutcomes(db, (await upload(db)).map(judged)))));
  return runsOf(ms);
}

async function upload(db: Pool): Promise<string[]> {
  const photos = Array.from({ length: GROUP }, (_, n) => {
    const listing = String(Math.floor(Math.random() * 100_000));
    const key = `uploads/${listing}/${Date.now()}-${uploads}-${n}.jpg`;
    return { store: "s3" as const, bucket: "photos", key, version: `etag:${uploads}`, known: { listing } };
  });
  uploads++;
  return (await registerPhotos(db, photos, "live")).map(({ id }) => id);
}

/** Each call is another model's verdict, so that each is a change. */
function judged(photoId: string): Outcome {
  const human = Math.random() ** 3;
  const category = CATEGORIES[Math.floor(Math.random() * CATEGORIES.length)]!;
  const score = 0.5 + Math.random() / 2;
  const rest = (1 - score) / 3;
  const categories = Object.fromEntries(CATEGORIES.map((name) => [name, name === category ? score : rest]));
  const [verdict, rule] = human >= 0.5 ? (["hidden", "human"] as const) : (["shown", "clear"] as const);
  return {
    photoId,
    known: {},
    batch: "bench-1",
    by: `model:restaurant-6.${model++ % 10}`,
    policy: "5f0c1d9be2a7",
    result: {
      scores: { categories, human },
      decision: {
        verdict,
        rule,
        reason: `${category} ${score.toFixed(2)}`,
        category,
        tags: [{ category, score, threshold: 0.4 }],
      },
    },
  };
}

function runsOf(ms: readonly number[]): Runs {
  return { ...timesOf(ms), runs: ms.length };
}

let model = 0;
let uploads = 0;
const GROUP = 256;
const CATEGORIES = ["food", "ambience", "menu", "other"];
