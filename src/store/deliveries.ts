import type { Settled } from "../deliver/deliverer.ts";
import type { Claim } from "../deliver/message.ts";
import type { DeliveryFigures } from "../http/desk/operate-deps.ts";
import { storable } from "../text.ts";
import { type Pool, type Queryable, query } from "./pool.ts";

export type DeliveryState = Settled["state"];

/**
 * Claims what is due, for `leaseS` seconds: at most `total`, and of one destination at most `each`, or an equal share of
 * `total` and what is busy if that is less, less what is `busy` of it: however many are slow, they leave the others their share.
 * What is claimed is nobody else's until then; what is not settled by then is due again.
 */
export async function claimDeliveries(
  db: Pool,
  busy: Readonly<Record<string, number>>,
  { each, total, leaseS }: { each: number; total: number; leaseS: number },
): Promise<Claim[]> {
  const inHand = Object.values(busy).reduce((sum, count) => sum + count, 0);
  return query<Claim>(db, {
    name: "claim_deliveries",
    text: `select seq, destination, kind, url, secrets, photo_id as "photoId", change, payload, created_at as "createdAt", attempt
      from (select greatest(count(*), 1) as told from destinations where enabled and kind <> 'notify') t,
        claim_deliveries($1, least($2, greatest($5 / told, 1))::integer, $3, $4)`,
    values: [JSON.stringify(busy), each, total, leaseS, total + inHand],
  });
}

/** Says how an attempt ended; see settle_delivery. Saying it twice changes nothing. */
export async function settleDelivery(
  db: Pool,
  { seq, destination, attempt }: Pick<Claim, "seq" | "destination" | "attempt">,
  { state, note, waitMs }: Settled,
): Promise<void> {
  // a message may quote what came over the network, and Postgres refuses some of it
  const said = note && storable(note, 2_000);
  await query(db, {
    name: "settle_delivery",
    text: "select settle_delivery($1, $2, $3, $4, $5, $6)",
    values: [seq, destination, attempt, state, said, waitMs / 1000],
  });
}

/** Deletes a page of what was delivered more than `days` days ago, and of what has been dead for `deadDays`. @returns how many. */
export async function purgeDeliveries(
  db: Pool,
  { days, deadDays }: { days: number; deadDays: number },
  page: number,
): Promise<number> {
  const [row] = await query<{ purged: number }>(db, {
    name: "purge_deliveries",
    text: "select purge_deliveries($1, $2, $3) as purged",
    values: [days, deadDays, page],
  });
  return row!.purged;
}

/** Of destinations t: the host of a webhook, whose whole URL may be secret; of others the bucket, or null. */
export const TOLD = `coalesce(substring(t.url from '://(?:[^/?#]*@)?([^/?#@]+)'), t.bucket)`;

export interface Behind extends DeliveryFigures {
  /** When the oldest change came about of which it is still to be told; null where there is none. */
  oldestAt: Date | null;
}

/**
 * How far behind each destination is, those that are not enabled among them. However many wait,
 * it looks at no more than 10,000 of each.
 */
export async function deliveryFigures(db: Pool): Promise<Behind[]> {
  const some = (state: DeliveryState): string =>
    `(select count(*) from (
        select from deliveries d where d.destination = t.id and d.state = '${state}' limit ${MOST}) d)::integer as ${state}`;
  return query<Behind>(db, {
    name: "delivery_figures",
    text: `select t.id as destination, ${TOLD} as "to", t.kind, t.enabled, ${some("pending")}, ${some("dead")},
        -- a change that is the oldest has the lowest number
        coalesce(extract(epoch from now() - o.created_at), 0)::real as "oldestS", o.created_at as "oldestAt", f.last_error as "lastError"
      from destinations t
      left join lateral (
        select seq, last_error from deliveries d where d.destination = t.id and d.state = 'pending' order by d.seq limit 1) f on true
      left join outbox o on o.seq = f.seq
      where t.kind <> 'notify' order by t.created_at, t.id`,
  });
}

/** Which deliveries are meant; all that are given must hold. */
export interface DeliveryFilter {
  state?: DeliveryState;
  destination?: string;
  photoId?: string;
  seq?: string;
}

interface DeliveryRow {
  seq: string;
  destination: string;
  /** The URL of a webhook; of others the kind. */
  to: string;
  photoId: string;
  change: string;
  state: DeliveryState;
  attempts: number;
  nextAt: Date | null;
  lastError: string | null;
  createdAt: Date;
  deliveredAt: Date | null;
  bucket: string;
  key: string;
}

/** The newest first. */
export async function listDeliveries(
  db: Pool,
  filter: DeliveryFilter,
  limit: number,
): Promise<DeliveryRow[]> {
  return query<DeliveryRow>(db, {
    name: "list_deliveries",
    text: `select d.seq, d.destination, coalesce(t.url, t.kind) as "to", d.photo_id as "photoId", o.kind as change, d.state, d.attempts,
        case when d.state = 'pending' then d.next_at end as "nextAt", d.last_error as "lastError",
        o.created_at as "createdAt", d.delivered_at as "deliveredAt", o.payload ->> 'bucket' as bucket, o.payload ->> 'key' as key
      from deliveries d join outbox o using (seq) join destinations t on t.id = d.destination
      where ${MATCHES} order by d.seq desc, d.destination limit $5`,
    values: [...valuesOf(filter), limit],
  });
}

/** What the outbox holds of one change. */
export async function readChange(
  db: Pool,
  seq: string,
): Promise<{ change: string; createdAt: Date; payload: object } | undefined> {
  const rows = await query<{ change: string; createdAt: Date; payload: object }>(db, {
    name: "read_change",
    text: `select kind as change, created_at as "createdAt", payload from outbox where seq = $1`,
    values: [seq],
  });
  return rows[0];
}

/**
 * Makes deliveries due at once, with all their attempts before them. Those that somebody has already are sent again; those
 * that are being told at that moment are left.
 *
 * Yields how many of which destination, page by page of at most `pageSize`; to one that is not enabled they go once it is.
 * Given a pool, what was yielded stays when the caller ends.
 */
export async function* replayDeliveries(
  db: Queryable,
  filter: DeliveryFilter,
  pageSize = 1_000,
): AsyncGenerator<{ replayed: number; destination: string; enabled: boolean }> {
  const to = await query<{ id: string; enabled: boolean }>(db, {
    name: "destinations_to_replay",
    text: "select id, enabled from destinations where kind <> 'notify' and ($1::text is null or id = $1) order by id",
    values: [filter.destination ?? null],
  });
  // one destination after the other, since the index of what is dead begins with it
  for (const { id, enabled } of to) {
    for (let after: string | null = "0"; after !== null; ) {
      const [row]: { replayed: number; last: string | null }[] = await query(db, {
        // without a name, so that it is planned for this filter: the few that are dead are found among all others
        text: `with page as (
            select d.seq, d.destination from deliveries d join outbox o using (seq)
            where (d.claimed_until is null or d.claimed_until < now()) and ${MATCHES} and d.seq > $5
            order by d.seq limit $6 for update of d
          ), again as (
            update deliveries d set state = 'pending', attempts = 0, last_error = null, next_at = now(), claimed_until = null, delivered_at = null
            from page p where d.seq = p.seq and d.destination = p.destination
            returning d.seq
          ), told as (select pg_notify('maitred_outbox', ''))
          select (select count(*) from again)::integer as replayed, (select max(seq) from again) as last from told`,
        values: [...valuesOf({ ...filter, destination: id }), after, pageSize],
      });
      if (row!.replayed > 0) yield { replayed: row!.replayed, destination: id, enabled };
      after = row!.replayed < pageSize ? null : row!.last;
    }
  }
}

/** Of what is counted for figures. */
const MOST = 10_000;
const MATCHES = `($1::text is null or d.state = $1) and ($2::text is null or d.destination = $2)
  and ($3::bigint is null or o.photo_id = $3) and ($4::bigint is null or d.seq = $4)`;

function valuesOf({ state, destination, photoId, seq }: DeliveryFilter): unknown[] {
  return [state ?? null, destination ?? null, photoId ?? null, seq ?? null];
}
