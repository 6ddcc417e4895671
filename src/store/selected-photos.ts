import type { ScanPage } from "../backfill/pages.ts";
import type { PhotoSelector } from "../backfill/selector.ts";
import { ConfigError } from "../errors.ts";
import { nextAfter, rangeEnd } from "./id-range.ts";
import { type Pool, query } from "./pool.ts";

/** Which current photos; what is undefined narrows nothing. */
interface PhotoFilter extends Omit<PhotoSelector, "kind" | "olderModel"> {
  /** Decided by a model other than this, `model:NAME`. */
  notBy?: string | undefined;
}

/**
 * The next photos that match, at most `limit`. It looks at a bounded stretch of ids, so that a rare match takes many
 * short statements and never a long one: `found` may be empty before the end.
 *
 * @param after an id; "" at the beginning.
 */
export async function selectPhotos(
  db: Pool,
  filter: PhotoFilter,
  after: string,
  limit: number,
): Promise<ScanPage<string>> {
  const to = rangeEnd(after, filter.upTo);
  const { state, code, notBy, below, since, until, listing, uploader } = filter;
  const rows = await query<{ id: string }>(db, {
    name: "select_photos",
    text: `select id from photos p where id > $1 and id <= $2 and superseded_at is null
        and ($3::text is null or state = $3) and ($4::text is null or failure = $4)
        and ($5::text is null or decided_by like 'model:%' and decided_by <> $5)
        and ($6::timestamptz is null or registered_at >= $6) and ($7::timestamptz is null or registered_at < $7)
        and ($8::text is null or listing = $8) and ($9::text is null or uploader = $9)
        and ($10::real is null or (
          select (v.scores ->> p.category)::real from verdicts v where v.photo_id = p.id order by v.id desc limit 1) < $10)
      order by id limit $11`,
    values: [after || "0", to, state, code, notBy, since, until, listing, uploader, below, limit].map(
      (value) => value ?? null,
    ),
  });
  return { found: rows.map(({ id }) => id), ...nextAfter(rows, limit, to, filter.upTo) };
}

/** The largest id of a photo; "0" where there is none. */
export async function lastPhotoId(db: Pool): Promise<string> {
  const rows = await query<{ id: string }>(db, { text: "select coalesce(max(id), 0) as id from photos" });
  return rows[0]!.id;
}

/**
 * The next photos of a view or table with a column `photo_id`, at most `limit`.
 *
 * @throws {ConfigError} where there is no such view, or it may not be read.
 */
export async function viewPhotos(
  db: Pool,
  name: string,
  after: string,
  limit: number,
): Promise<ScanPage<string>> {
  const view = name
    .split(".")
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join(".");
  const rows = await query<{ id: string }>(db, {
    // the cast twice, so that a view of words is read in the order in which it is compared
    text: `select distinct photo_id::bigint as id from ${view} where photo_id::bigint > $1 order by 1 limit $2`,
    values: [after || "0", limit],
  }).catch((cause: { code?: unknown; message: string }) => {
    // no such table or column, no right to it; no number, or whatever else a view may stumble over
    if (!/^(42|22|DATABASE_FORBIDDEN)/.test(String(cause.code))) throw cause;
    throw new ConfigError(`view ${name}: expected a view with a column photo_id: ${cause.message}`, {
      cause,
    });
  });
  const found = rows.map(({ id }) => id);
  return { found, after: found.at(-1) ?? after, end: found.length < limit };
}
