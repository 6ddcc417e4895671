import type { LineOutcome, Recorded } from "../moderate/outcome.ts";
import type { KnownScores } from "../moderate/same-bytes.ts";
import { storable } from "../text.ts";
import { digestPrefix } from "./indexes.ts";
import { isRefused, type Pool, type Queryable, query } from "./pool.ts";

/** What became of one photo. */
export interface Outcome extends LineOutcome {
  /** The backfill that the verdict is of, and that counts it, without having fed the photo. */
  backfill?: string;
}

/**
 * Commits a group of outcomes, in one transaction; see record_verdicts.
 * Recording the same group again changes nothing.
 *
 * @returns by photo id, what became of it. A photo that no longer exists, or is of another object, is missing.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE: nothing of the group was committed, or nobody knows.
 */
export async function recordOutcomes(
  db: Queryable,
  outcomes: readonly Outcome[],
): Promise<Map<string, Recorded>> {
  const rows = await query<{ photo_id: string; changed: boolean; held: string | null }>(db, {
    name: "record_verdicts",
    text: `select photo_id, changed, held from record_verdicts((
        select coalesce(jsonb_agg(item), '[]') from jsonb_array_elements($1::jsonb) item
        where not item ? 'key' or exists (select from photos p
          where p.id = (item->>'id')::bigint and p.bucket = item->>'bucket' and p.key = item->>'key')))`,
    values: [JSON.stringify(outcomes.map(asItem))],
  });
  return new Map(rows.map(({ photo_id, changed, held }) => [photo_id, { changed, ...(held && { held }) }]));
}

/** What a run over stored scores has looked at since it noted last where it stands. */
export interface ScanProgress {
  /** Null at the beginning. */
  from: { after: string } | null;
  to: { after: string };
  /** Photos in between, whether anything of them changes or not. */
  seen: number;
  /** Nothing comes after it: the run is done. */
  end: boolean;
}

/**
 * The same of what a backfill decides anew from stored scores, which it counts without having fed the photos, and how far
 * it has come, in one transaction. A photo that these are not the scores of any more keeps its verdict.
 *
 * @returns false, and nothing was committed, where the backfill was paused or cancelled, or another command was faster.
 */
export async function recordAnew(
  db: Pool,
  backfill: string,
  outcomes: readonly Outcome[],
  { from, to, seen, end }: ScanProgress,
): Promise<boolean> {
  const items = outcomes.map((outcome) => ({ ...asItem({ ...outcome, backfill }), stored: true }));
  try {
    await query(db, {
      name: "decide_anew",
      text: "select decide_anew($1, $2, $3, $4, $5, $6)",
      values: [backfill, JSON.stringify(items), from && JSON.stringify(from), JSON.stringify(to), seen, end],
    });
    return true;
  } catch (cause) {
    if (isRefused(cause, "MD409", "MD412")) return false;
    throw cause;
  }
}

function asItem(outcome: Outcome): object {
  const { photoId, object, known, batch, by, policy, fed, backfill, tries, looked, result } = outcome;
  const told = Object.fromEntries(
    Object.entries(known).map(([name, value]) => [name, storable(value, MAX_BYTES)]),
  );
  const counted = backfill === undefined ? undefined : true;
  // that a verdict took one try is what nearly all of a large table would say
  const counts = "failure" in result || (tries ?? 1) > 1 ? { tries } : {};
  const common = {
    id: photoId,
    ...object,
    known: told,
    batch,
    by,
    policy,
    fed,
    backfill,
    counted,
    looked,
    ...counts,
  };
  if ("failure" in result) {
    const { failure, message, transient, digest } = result;
    return {
      ...common,
      verdict: "failed",
      rule: "failed",
      reason: storable(message, MAX_BYTES),
      failure,
      transient,
      // of what was judged alone others take scores
      refused: digest && `\\x${digest}`,
    };
  }
  const { decision, scores, digest, copyOf, rendition } = result;
  return {
    ...common,
    verdict: decision.verdict,
    rule: decision.rule,
    reason: decision.reason,
    category: decision.category,
    human: scores.human,
    scores: scores.categories,
    tags: decision.tags,
    digest: digest && `\\x${digest}`,
    copyOf: copyOf && `\\x${copyOf}`,
    rendition,
  };
}

/**
 * Says that this decoder runs; see decoderId.
 *
 * @returns since when one does, as Postgres writes it.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE.
 */
export async function decodedSince(db: Pool, decoder: string): Promise<string> {
  const [row] = await query<{ since: string }>(db, {
    // what runs again after another one begins anew
    text: `insert into decoders as d (id) values ($1) on conflict (id) do update set since = case
        when exists (select from decoders other where other.since > d.since) then now() else d.since end
      returning since::text`,
    values: [decoder],
  });
  return row!.since;
}

/**
 * The scores that a model gave to bytes, by their digests; those that it never judged, or gave scores that are no numbers, are missing.
 *
 * @param by `model:NAME`.
 * @param since of `decodedSince`: what another decoder saw in the bytes before then counts for nothing.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE.
 */
export async function knownScores(
  db: Pool,
  by: string,
  since: string,
  digests: readonly string[],
): Promise<Map<string, KnownScores>> {
  const rows = await query<Judged>(db, {
    name: "known_scores",
    // a look into the index for each digest, whatever the planner knows of the table
    text: `select d.digest, v.photo_id as "photoId", v.human, v.scores
      from unnest($2::text[]) d (digest) cross join decode(d.digest, 'hex') b (bytes) cross join lateral (
        select photo_id, human, scores from verdicts
        where ${digestPrefix("digest")} = ${digestPrefix("b.bytes")} and digest = b.bytes
          and decided_by = $1 and decided_at >= $3 and scores is not null and human is not null
          and not jsonb_path_exists(scores, '$.* ? (@ == null)') limit 1) v`,
    values: [by, digests, since],
  });
  return new Map(
    rows.map(({ digest, photoId, human, scores }) => [
      digest,
      // Postgres writes a real in as few digits as tell it from others: this is the number that the model gave
      { photoId, scores: { categories: scores, human: Math.fround(human) } },
    ]),
  );
}

interface Judged {
  digest: string;
  photoId: string;
  human: number;
  scores: Record<string, number>;
}

/** Of a failure's message, which may quote a file's own bytes, and of what is known of a photo, which an index holds. */
const MAX_BYTES = 1_500;
