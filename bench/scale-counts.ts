import type { Redis } from "ioredis";
import type { Config } from "../src/config.ts";
import type { Pool } from "../src/store/pool.ts";
import type { Recorded } from "./recorder.ts";

export interface Sizes {
  /** Of all tables with their indexes. */
  bytesAPhoto: number;
  tables: Record<string, { rows: number; bytesAPhoto: number }>;
}

/** What the tables take on disk, a photo. */
export async function sizes(db: Pool, photos: number): Promise<Sizes> {
  await db.query("vacuum analyze");
  const { rows } = await db.query<{ name: string; rows: number; bytes: number }>(
    `select relname as name, greatest(reltuples, 0)::float8 as rows, pg_total_relation_size(oid)::float8 as bytes
      from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
      and pg_total_relation_size(oid) > 200000 order by bytes desc`,
  );
  return {
    bytesAPhoto: rows.reduce((sum, { bytes }) => sum + bytes, 0) / photos,
    tables: Object.fromEntries(
      rows.map(({ name, rows, bytes }) => [name, { rows, bytesAPhoto: bytes / photos }]),
    ),
  };
}

/** Compares every count that there is with the number of photos. */
export async function mistakes(
  db: Pool,
  redis: Redis,
  { queuePrefix }: Config,
  id: string,
  photos: number,
  recorded: Recorded,
): Promise<string[]> {
  const { rows } = await db.query<Record<string, number>>(
    `select (select count(*) from photos)::float8 as "photos",
      (select count(distinct key) from photos)::float8 as "keys",
      (select count(*) from photos where state in ('shown', 'hidden', 'review'))::float8 as "photos with a verdict",
      (select count(*) from verdicts)::float8 as "verdicts",
      (select count(distinct photo_id) from verdicts)::float8 as "photos in the history",
      (select sum(photos) from backfill_counts where backfill_id = $1)::float8 as "counted by the backfill",
      (select seen from backfills where id = $1)::float8 as "seen",
      (select fed from backfills where id = $1)::float8 as "fed",
      (select count(*) from backfill_photos)::float8 as "waiting"`,
    [id],
  );
  const counted: Record<string, number> = {
    ...rows[0]!,
    "changed by the recorder": recorded.changed,
    "left the line": recorded.left,
    failed: recorded.failed,
    "jobs in the queue": (await redis.keys(`${queuePrefix}:backfill:de:fed-*`)).length,
  };
  const none = new Set(["waiting", "failed", "jobs in the queue"]);
  return Object.entries(counted)
    .filter(([name, count]) => count !== (none.has(name) ? 0 : photos))
    .map(([name, count]) => `${name}: expected ${none.has(name) ? 0 : photos}, got ${count}`);
}
