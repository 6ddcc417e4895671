import type { Decided, Decision, Holder, QueueCounts, Throughput, Undone } from "../http/desk/deps.ts";
import type { Part } from "../review/kinds.ts";
import { isRefused, type Pool, query } from "./pool.ts";

interface Claim extends Holder {
  /** The page before this one in its tab, which is gone: what it holds still goes to this one. */
  before?: string | undefined;
  parts: readonly Part[];
  /** How many the page is to hold in all. */
  limit: number;
  leaseS: number;
  /** How many of a thousand shown or hidden photos are drawn for audit. */
  auditPerMille: number;
}

/** What the page holds from now on; see claim_reviews. */
export async function claimReviews(db: Pool, claim: Claim): Promise<{ photo: string; kind: string }[]> {
  return query<{ photo: string; kind: string }>(db, {
    name: "claim_reviews",
    text: "select photo_id as photo, kind from claim_reviews($1, $2, $3, $4, $5, $6, $7)",
    values: [
      claim.moderator,
      claim.page,
      JSON.stringify(claim.parts),
      claim.limit,
      claim.leaseS,
      claim.auditPerMille,
      claim.before,
    ],
  });
}

/** Holds for `leaseS` more seconds what the page holds of these photos. @returns those. */
export async function renewClaims(
  db: Pool,
  { moderator, page }: Holder,
  photos: readonly string[],
  leaseS: number,
): Promise<string[]> {
  const rows = await query<{ photo: string }>(db, {
    name: "renew_claims",
    text: `with held as (${HELD})
      update review_claims c set until = now() + make_interval(secs => $4)
      from held where c.photo_id = held.photo_id returning c.photo_id as photo`,
    values: [moderator, page, photos, leaseS],
  });
  const held = new Set(rows.map(({ photo }) => photo));
  return photos.filter((photo) => held.has(photo));
}

/** Gives back what the page holds of these photos. */
export async function releaseClaims(
  db: Pool,
  { moderator, page }: Holder,
  photos: readonly string[],
): Promise<void> {
  await query(db, {
    name: "release_claims",
    text: `with held as (${HELD}) delete from review_claims c using held where c.photo_id = held.photo_id`,
    values: [moderator, page, photos],
  });
}

/** Records decisions, and answers in their order; sending them again does nothing more. */
export async function decideReviews(
  db: Pool,
  moderator: string,
  decisions: readonly Decision[],
): Promise<Decided[]> {
  return query<Decided>(db, {
    name: "decide_reviews",
    text: `select id, photo_id as photo, outcome, other as by, state, as_of as "asOf" from decide_reviews($1, $2)`,
    values: [moderator, JSON.stringify(decisions)],
  });
}

/** Takes a decision back; see undo_review. @param page gets the photo. */
export async function undoReview(
  db: Pool,
  moderator: string,
  decision: string,
  leaseS: number,
  page = "",
): Promise<Undone> {
  const rows = await query<Undone>(db, {
    name: "undo_review",
    text: "select photo_id as photo, outcome, kind from undo_review($1, $2, $3, $4)",
    values: [moderator, decision, leaseS, page],
  });
  return rows[0]!;
}

/**
 * How many photos wait by kind, those that moderators hold included, of each at most 10,000 of the others counted; how many
 * are held; and how many moderators are there, which is who used the desk while a page of theirs would hold on to its photos.
 *
 * @param auditPerMille how many of a thousand shown or hidden photos are drawn for audit.
 */
export async function countReviews(
  db: Pool,
  kinds: readonly string[],
  auditPerMille: number,
): Promise<QueueCounts> {
  const rows = await query<{ kind: string; photos: number; held: number; moderators: number }>(db, {
    name: "count_reviews",
    text: `select k.kind, (select count(*) from photos_to_review(k.kind, 10000, $2))::int
          + (select count(*) from review_claims c where c.kind = k.kind and c.until > now())::int as photos,
        (select count(*) from review_claims where until > now())::int as held,
        (select count(distinct name) from desk_sessions where 'moderator' = any(roles) and ended_at is null and ends_at > now()
          and seen_at > now() - interval '10 minutes')::int as moderators
      from unnest($1::text[]) k (kind)`,
    values: [kinds, auditPerMille],
  });
  return {
    kinds: Object.fromEntries(rows.map(({ kind, photos }) => [kind, photos])),
    held: rows[0]?.held ?? 0,
    moderators: rows[0]?.moderators ?? 0,
  };
}

/** Decisions of a moderator, without those taken back: of the last hour, and since a time. */
export async function countDecisions(db: Pool, moderator: string, since: Date): Promise<Throughput> {
  const rows = await query<Throughput>(db, {
    name: "count_decisions",
    text: `select
        (count(*) filter (where undone_at is null and at > now() - interval '1 hour'))::int as "lastHour",
        (count(*) filter (where undone_at is null and at >= $2))::int as since,
        (count(*) filter (where undone_at is not null and at >= $2))::int as undone
      from review_decisions where moderator = $1 and at >= least($2, now() - interval '1 hour')`,
    values: [moderator, since],
  });
  return rows[0]!;
}

/**
 * Opens an appeal, or finds the open one; see open_appeal. The photo keeps its verdict.
 *
 * @param by who objects, and `who` says so.
 * @returns when it was made, as ISO 8601; undefined where no current photo has this id.
 */
export async function openAppeal(
  db: Pool,
  photo: string,
  reason: string,
  { by, who }: { by: string; who: string },
): Promise<{ at: string; fresh: boolean } | undefined> {
  try {
    const rows = await query<{ at: string; fresh: boolean }>(db, {
      name: "open_appeal",
      text: "select to_json(at) as at, fresh from open_appeal($1, $2, $3, $4)",
      values: [photo, reason, by, who],
    });
    return rows[0]!;
  } catch (cause) {
    if (isRefused(cause, "MD404")) return undefined;
    throw cause;
  }
}

/** In the order in which everybody takes claims, so that two never wait for each other. */
const HELD = `select photo_id from review_claims where (moderator, page) = ($1, $2) and photo_id = any($3)
  order by photo_id for update`;
