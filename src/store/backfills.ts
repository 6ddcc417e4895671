import { ALIVE } from "./models.ts";
import { type Pool, type Queryable, query, refused } from "./pool.ts";

type BackfillState = "running" | "paused" | "cancelled" | "done";

/** One run over the archive; the table `backfills`. `what` and `cursor` are the feeder's. */
export interface BackfillRow {
  id: string;
  what: unknown;
  /** `model:NAME`. */
  model: string;
  again: boolean;
  /** Its verdicts wait in proposals. */
  propose: boolean;
  state: BackfillState;
  /** What was done with it afterwards. */
  outcome: "applied" | "discarded" | "rolled back" | null;
  /** Photos a second. */
  maxRate: number | null;
  hours: string | null;
  /** Template of the keys that are read instead of the photos'; null: the photos themselves are. */
  rendition: string | null;
  /** How many photos `what` names, as whoever started it said. */
  expected: number | null;
  startedBy: string;
  startedAt: Date;
  changedBy: string | null;
  changedAt: Date | null;
  why: string | null;
  endedAt: Date | null;
  cursor: unknown;
  readAll: boolean;
  seen: number;
  fed: number;
  skipped: number;
  unreadable: number;
  /** Fed and not judged yet. */
  waiting: number;
  /** As they are counted: neither those that wait, nor what was replaced or forgotten before its turn. */
  judged: number;
  /** Failed photos are to be fed again. */
  retrying: boolean;
  /** At its rate, what was fed lasts for now. */
  rests: boolean;
  /** What feeders last said of themselves; `nobody`: none did within half a minute. */
  feeder: "feeds" | "stands back" | "lane paused" | "nobody";
  /** Workers that run, and how many of them have its model or the active one: what others judge of it is fed again. */
  workers: number;
  able: number;
  /** Some of what it proposed was neither applied nor discarded. */
  undecided: boolean;
}

/** What is read of each where all are: not whether proposals are left, which may be a long look after many were applied. */
export type ListedBackfill = Omit<BackfillRow, "undecided">;

export type NewBackfill = Pick<
  BackfillRow,
  "what" | "model" | "again" | "propose" | "maxRate" | "hours" | "startedBy"
> &
  Partial<Pick<BackfillRow, "rendition" | "expected">>;

/** @returns its id. */
export async function addBackfill(db: Pool, run: NewBackfill): Promise<string> {
  const { what, model, again, propose, maxRate, hours, startedBy, rendition = null, expected = null } = run;
  const rows = await query<{ id: string }>(db, {
    name: "add_backfill",
    text: `insert into backfills (what, model, again, propose, max_rate, hours, started_by, rendition, expected)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id`,
    values: [JSON.stringify(what), model, again, propose, maxRate, hours, startedBy, rendition, expected],
  });
  return rows[0]!.id;
}

/** The latest first; of one state where it is given. */
export async function readBackfills(db: Pool, state?: BackfillState): Promise<ListedBackfill[]> {
  return query<ListedBackfill>(db, {
    name: "read_backfills",
    text: `select ${COLUMNS} from backfills where ($1::text is null or state = $1) order by id desc`,
    values: [state ?? null],
  });
}

export async function readBackfill(db: Pool, id: string): Promise<BackfillRow | undefined> {
  const rows = await query<BackfillRow>(db, {
    name: "read_backfill",
    // undecided by the first row in the order of the primary key: "exists" would read all that one run proposed to find none of another
    text: `select ${COLUMNS}, coalesce((select s.backfill_id from proposals s where s.backfill_id >= backfills.id
        order by s.backfill_id, s.photo_id limit 1) = backfills.id, false) as undecided
      from backfills where id = $1`,
    values: [id],
  });
  return rows[0];
}

/**
 * Pauses, resumes or cancels; see change_backfill.
 *
 * @throws {ConfigError} where there is no such backfill, or it is in that state or over.
 */
export async function changeBackfill(
  db: Pool,
  id: string,
  state: "running" | "paused" | "cancelled",
  by: string,
  why: string,
): Promise<void> {
  await query(db, {
    name: "change_backfill",
    text: "select change_backfill($1, $2, $3, $4)",
    values: [id, state, by, why],
  }).catch(refused);
}

/**
 * Has the feeder try the failed photos of a backfill once more; see retry_backfill.
 *
 * @param code only those that failed for it.
 * @returns how many they are.
 * @throws {ConfigError} where there is no such backfill, or it was cancelled or rolled back.
 */
export async function retryBackfill(
  db: Queryable,
  id: string,
  code: string | undefined,
  by: string,
): Promise<number> {
  const rows = await query<{ photos: number }>(db, {
    name: "retry_backfill",
    text: "select retry_backfill($1, $2, $3)::float8 as photos",
    values: [id, code ?? null, by],
  }).catch(refused);
  return rows[0]!.photos;
}

/**
 * Makes proposals of a backfill verdicts, a page of those of photos after `after`; see apply_proposals.
 *
 * @returns where to go on, how many it took, and how many of these are verdicts now: the photos of the others were decided
 *   meanwhile; undefined when none is left behind `after`.
 * @throws {ConfigError} where it is not over, or proposed nothing, or was rolled back.
 */
export async function applyProposals(
  db: Pool,
  id: string,
  after: string,
  by: string,
  limit = 500,
): Promise<{ after: string; taken: number; changed: number } | undefined> {
  const rows = await query<{ after: string | null; taken: number; changed: number }>(db, {
    name: "apply_proposals",
    text: `select last_id as after, taken::float8 as taken, changed::float8 as changed
      from apply_proposals($1, $2, $3, $4)`,
    values: [id, after, limit, by],
  }).catch(refused);
  return unlessAtEnd(rows[0]!);
}

/**
 * Forgets proposals, a page of those of photos after `after`; see discard_proposals.
 *
 * @returns where to go on, and how many; undefined when none is left behind `after`.
 * @throws {ConfigError} where it is not over, or proposed nothing.
 */
export async function discardProposals(
  db: Pool,
  id: string,
  after: string,
  by: string,
  limit = 5_000,
): Promise<{ after: string; gone: number } | undefined> {
  const rows = await query<{ after: string | null; gone: number }>(db, {
    name: "discard_proposals",
    text: "select last_id as after, gone::float8 as gone from discard_proposals($1, $2, $3, $4)",
    values: [id, after, limit, by],
  }).catch(refused);
  return unlessAtEnd(rows[0]!);
}

function unlessAtEnd<T extends { after: string | null }>(page: T): (T & { after: string }) | undefined {
  const { after } = page;
  return after === null ? undefined : { ...page, after };
}

/**
 * Restores what was before a backfill, a page of photos after `after`; see rollback_backfill.
 *
 * @returns where to go on, and how many photos of the archive have no verdict and wait for none; undefined when no photo
 *   is left.
 * @throws {ConfigError} where it is not over.
 */
export async function rollbackBackfill(
  db: Pool,
  id: string,
  after: string,
  by: string,
  limit = 500,
): Promise<{ after: string; restored: number; pending: number } | undefined> {
  const rows = await query<{ after: string; restored: number; pending: number }>(db, {
    name: "rollback_backfill",
    text: `select last_id as after, restored::float8 as restored, pending::float8 as pending
      from rollback_backfill($1, $2, $3, $4)`,
    values: [id, after, limit, by],
  }).catch(refused);
  return rows[0];
}

/**
 * Photos a second in the best minute of the last day, of all workers together and as far as the newest verdicts show; null
 * where nothing was judged. What was decided from stored scores, applied, taken back or held since is not counted: no worker did that.
 */
export async function bestRate(db: Pool): Promise<number | null> {
  const rows = await query<{ rate: number | null }>(db, {
    name: "best_rate",
    text: `select max(photos)::float8 / 60 as rate from (
        select count(*) as photos from (
          select decided_at, decided_by, rule, batch, backfill_id from verdicts order by id desc limit 500000) v
        where decided_at > now() - interval '1 day' and decided_by like 'model:%'
          and coalesce(batch, '') not like 'rollback-%' and (rule <> 'hidden-copy' or batch is not null)
          and not exists (
            select from backfills b where b.id = v.backfill_id and (b.propose or b.what ->> 'kind' = 'policy'))
        group by date_trunc('minute', decided_at)) m`,
  });
  return rows[0]!.rate;
}

const COLUMNS = `id, what, model, again, propose, state, outcome, max_rate as "maxRate", hours, rendition, expected::float8 as expected,
    started_by as "startedBy",
    started_at as "startedAt", changed_by as "changedBy", changed_at as "changedAt", why, ended_at as "endedAt", cursor,
    read_all as "readAll", seen::float8 as seen, fed::float8 as fed, skipped::float8 as skipped,
    unreadable::float8 as unreadable,
    (select count(*) from backfill_photos w where w.backfill_id = backfills.id)::float8 as waiting,
    (select coalesce(sum(c.photos), 0) from backfill_counts c where c.backfill_id = backfills.id)::float8 as judged,
    exists (select from backfill_retries r where r.backfill_id = backfills.id) as retrying,
    coalesce(rests_until > now(), false) as rests,
    case when what ->> 'kind' = 'policy' then 'feeds' else coalesce((
      select case when f.lane_paused then 'lane paused' when f.stands_back then 'stands back' else 'feeds' end
      from feeding f where f.heard_at > now() - interval '30 seconds'), 'nobody') end as feeder,
    (select count(*) from model_workers m where ${ALIVE})::int as workers,
    (select count(*) from model_workers m where ${ALIVE} and settles('model:' || m.model, backfills.model))::int as able`;
