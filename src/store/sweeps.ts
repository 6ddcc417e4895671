import type pg from "pg";
import { UpstreamError } from "../errors.ts";
import type { KnownObject, ObjectState, Wanted } from "../intake/reconcile-range.ts";
import type { Totals } from "../intake/sweep.ts";
import type { EventOutcome, Lane } from "../photo.ts";
import { recordEvents } from "./events.ts";
import { toUpstreamError } from "./outage.ts";
import { connection, isRefused, type Pool, type Queryable, query } from "./pool.ts";

export interface SweepRow extends Totals {
  id: string;
  cursor: string;
  /** Time that it worked. */
  seconds: number;
}

/**
 * Takes the sweeps of a bucket for this process, until `close` or the end of its connection.
 *
 * @returns undefined where another process has them.
 */
export async function lockSweeps(db: Pool, bucket: string): Promise<{ close(): Promise<void> } | undefined> {
  const take = "select pg_try_advisory_lock(hashtext('maitred sweep'), hashtext($1)) as held";
  const give = "select pg_advisory_unlock(hashtext('maitred sweep'), hashtext($1))";
  // a lost connection loses the lock too; whoever then begins moves the cursor, which sweepStep notices
  const ignore = (): void => {};
  let client: pg.PoolClient | undefined;
  const release = (error?: Error): void => {
    client?.off("error", ignore);
    client?.release(error);
  };
  try {
    client = await db.connect();
    client.on("error", ignore);
    const { rows } = await client.query<{ held: boolean }>(take, [bucket]);
    if (!rows[0]!.held) {
      release();
      return undefined;
    }
  } catch (cause) {
    release(cause as Error);
    throw toUpstreamError(cause);
  }
  const held = client;
  return { close: () => held.query(give, [bucket]).then(() => release(), release) };
}

/** The sweep that was not finished, or a new one. */
export async function beginSweep(db: Pool, bucket: string, prefix: string): Promise<SweepRow> {
  const rows = await query<SweepRow>(db, {
    name: "begin_sweep",
    text: `insert into sweeps (bucket, prefix) values ($1, $2)
      on conflict (bucket, prefix) where state = 'running' do update set updated_at = now() returning ${COLUMNS}`,
    values: [bucket, prefix],
  });
  return rows[0]!;
}

/** Ends a sweep that was not finished, so that the next one begins anew. */
export async function abandonSweep(db: Pool, bucket: string, prefix: string): Promise<void> {
  await query(db, {
    name: "abandon_sweep",
    text: `update sweeps set state = 'abandoned', cursor = '', updated_at = now()
      where bucket = $1 and prefix = $2 and state = 'running'`,
    values: [bucket, prefix],
  });
}

/** Marks a sweep as complete, `seconds` after its last step. */
export async function finishSweep(db: Pool, id: string, seconds: number): Promise<void> {
  await query(db, {
    name: "finish_sweep",
    text: `update sweeps set state = 'done', cursor = '', seconds = seconds + $2, updated_at = now(), finished_at = now()
      where id = $1 and state = 'running'`,
    values: [id, seconds],
  });
}

/** changed: what is known of the object is not what it was, and nothing was done about it. */
interface SweepOutcome extends Omit<EventOutcome, "outcome"> {
  outcome: EventOutcome["outcome"] | "changed";
}

/**
 * Commits a step of a sweep with what was found in it; see sweep_step.
 *
 * @param from where the sweep is; it is then at `to`.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE: nothing of it was committed, or nobody knows; or somebody else went on
 *   with this sweep.
 */
export async function sweepStep(
  db: Pool,
  id: string,
  step: {
    from: string;
    to: string;
    counts: Pick<Totals, "listed" | "known" | "young" | "unclear"> & { seconds: number };
    items: readonly Wanted[];
  },
  rules: { pad: "left" | "right"; erase: boolean; lane: Lane },
): Promise<SweepOutcome[]> {
  return query<SweepOutcome & pg.QueryResultRow>(db, {
    name: "sweep_step",
    text: `select photo_id as "photoId", outcome, queue from sweep_step($1, $2, $3, $4, $5, $6, $7, $8)`,
    values: [
      id,
      step.from,
      step.to,
      JSON.stringify(step.counts),
      JSON.stringify(step.items),
      rules.pad,
      rules.erase,
      rules.lane,
    ],
  }).catch((cause: unknown) => {
    if (!isRefused(cause, "MD409")) throw cause;
    throw new UpstreamError("DATABASE_UNAVAILABLE", cause.message, { cause });
  });
}

/**
 * Takes in one object that was found in a bucket, as sweep_step does.
 *
 * @returns undefined, and nothing was done, where something else was told of the object since its `state` was read.
 */
export async function takeFound(
  db: Pool,
  bucket: string,
  { kind, key, version, state }: Wanted,
  { pad, lane }: { pad: "left" | "right"; lane: Lane },
): Promise<EventOutcome | undefined> {
  return connection(db, async (client) => {
    await client.query("begin");
    // from here on, whoever tells of the object waits
    await client.query(
      `insert into object_order as o (store, bucket, key) values ('s3', $1, $2)
      on conflict (store, bucket, key, version) do update set latest = o.latest where false`,
      [bucket, key],
    );
    const [now] = await objectStates(client, bucket, [key]);
    if (now!.state !== state) {
      await client.query("rollback");
      return undefined;
    }
    const event = { kind, store: "s3", bucket, key, version, order: null, known: {} } as const;
    const [recorded] = await recordEvents(client, [event], pad);
    const moved = "update photos set lane = $2 where id = $1 and lane <> $2 and state = 'pending'";
    if (recorded!.outcome === "accepted") await client.query(moved, [recorded!.photoId, lane]);
    await client.query("commit");
    return recorded;
  });
}

/** Objects with a current photo whose keys lie behind `after`, up to `upTo`, in the order of their bytes. */
export async function knownObjects(
  db: Pool,
  bucket: string,
  { after, upTo, prefix }: { after: string; upTo: string | undefined; prefix: string },
  limit: number,
): Promise<KnownObject[]> {
  return query<KnownObject & pg.QueryResultRow>(db, {
    name: "known_objects",
    text: `select key, array_agg(version) as versions from photos
      where store = 's3' and superseded_at is null and bucket = $1
        and key > $2 and key >= $3 and key <= $4
      group by key order by key limit $5`,
    values: [bucket, after, prefix, upTo ?? lastKey(prefix), limit],
  });
}

/** Those of these objects that have a current photo, in no order. */
export async function knownAmong(db: Pool, bucket: string, keys: readonly string[]): Promise<KnownObject[]> {
  return query<KnownObject & pg.QueryResultRow>(db, {
    name: "known_among",
    text: `select key, array_agg(version) as versions from photos
      where store = 's3' and superseded_at is null and bucket = $1 and key = any ($2) group by key`,
    values: [bucket, keys],
  });
}

/** How many current photos there are under a prefix; of many, no more than `limit` are counted. */
export async function countKnown(db: Pool, bucket: string, prefix: string, limit: number): Promise<number> {
  const rows = await query<{ n: number }>(db, {
    name: "count_known",
    text: `select count(*)::float8 as n from (
      select from photos where store = 's3' and superseded_at is null and bucket = $1
        and key >= $2 and key <= $3 limit $4) counted`,
    values: [bucket, prefix, lastKey(prefix), limit],
  });
  return rows[0]!.n;
}

/** See object_states. */
export async function objectStates(
  db: Queryable,
  bucket: string,
  keys: readonly string[],
): Promise<ObjectState[]> {
  if (keys.length === 0) return [];
  return query<ObjectState & pg.QueryResultRow>(db, {
    name: "object_states",
    text: "select key, state, seen from object_states($1, $2)",
    values: [bucket, keys],
  });
}

/** How well the intake of a bucket does: what events had missed is what every sweep had to make up for. */
interface SweepTotals {
  bucket: string;
  /** Of all sweeps ever, also of those that were not finished. */
  missed: number;
  gone: number;
  /** The last one that was finished, of any prefix; null where none was. */
  last:
    | (Pick<Totals, "listed" | "missed" | "gone"> & { prefix: string; seconds: number; finishedAt: Date })
    | null;
}

export async function sweepTotals(db: Pool): Promise<SweepTotals[]> {
  const rows = await query<pg.QueryResultRow>(db, {
    name: "sweep_totals",
    text: `select t.bucket, t.missed::float8, t.gone::float8, l.prefix, l.seconds, l.finished_at as "finishedAt",
        l.listed::float8, l.missed::float8 as "lastMissed", l.gone::float8 as "lastGone"
      from (select bucket, sum(missed) as missed, sum(gone) as gone from sweeps group by bucket) t
      left join lateral (
        select * from sweeps where bucket = t.bucket and state = 'done' order by id desc limit 1) l on true
      order by t.bucket`,
  });
  return rows.map(({ bucket, missed, gone, lastMissed, lastGone, ...last }) => ({
    bucket,
    missed,
    gone,
    last: last["finishedAt"] && { ...last, missed: lastMissed, gone: lastGone },
  }));
}

/** No key with this prefix comes behind it: keys have at most 1,024 bytes, of which each of these has four. */
function lastKey(prefix: string): string {
  return prefix + "\u{10FFFF}".repeat(256);
}

const COLUMNS = `id, cursor, listed::float8, known::float8, missed::float8, gone::float8, young::float8,
  unclear::float8, seconds`;
