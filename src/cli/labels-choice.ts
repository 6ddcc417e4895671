import { FEW_SOURCES } from "../evaluate/report.ts";
import { isAsked, isHeldOut, type LabelledPhoto, labelOf, type Origin, type Place } from "../label.ts";
import { claimedPhotos, firstOfSameBytes, reviewedPhotos } from "../store/labels.ts";
import type { Pool } from "../store/pool.ts";
import { texts, UsageError, type Values } from "./command.ts";
import { choicesOption, numberOption, timeOption, whole } from "./options.ts";
import { counted } from "./plural.ts";

export const choiceOptions = texts("from", "since", "limit", "without-held-out", "held-out");

export interface Choice {
  from: ReadonlySet<string>;
  since: Date;
  limit: number;
  /** A share of the sources is kept apart, for a folder of their own. */
  apart: boolean;
  /** Whether the photos of a source are asked for. */
  belongs: (source: string) => boolean;
}

/** What was looked at, also of sources that are left out, and photos that could not be had. */
export interface Seen {
  labels: number;
  /** Labels whose source is the folder of their key. */
  withoutListing: number;
  /** Sources that are asked for, and those that are not. */
  sources: Set<string>;
  others: Set<string>;
  /** All there is was looked at. */
  all: boolean;
  /** Nobody could tell of some which are of the same bytes. */
  copiesUnknown: boolean;
}

export function choiceOf(values: Values<typeof choiceOptions>): Choice {
  const from = choicesOption(values, "from", FROM) ?? FROM;
  const since = timeOption(values, "since") ?? new Date(0);
  const limit = numberOption(values, "limit", whole(1)) ?? Number.MAX_SAFE_INTEGER;
  const apart = values["held-out"] !== undefined || values["without-held-out"] !== undefined;
  return { from: new Set(from), since, limit, apart, belongs: belongsOf(values) };
}

function belongsOf(values: Values<typeof choiceOptions>): Choice["belongs"] {
  const part = { words: "a number between 0 and 1", has: (share: number) => share > 0 && share < 1 };
  const without = numberOption(values, "without-held-out", part);
  const only = numberOption(values, "held-out", part);
  if (without !== undefined && only !== undefined) {
    throw new UsageError("expected one of --without-held-out and --held-out, each with a folder of its own");
  }
  const share = without ?? only;
  if (share === undefined) return () => true;
  return (source) => isHeldOut(source, share) === (only !== undefined);
}

/** The origins whose labels are all exported. Of a claim that is gone the photo was replaced, which says nothing against it. */
export function wholeOf({ from, since, limit }: Choice): Origin[] {
  const all = since.valueOf() <= 0 && limit === Number.MAX_SAFE_INTEGER;
  return all && from.has("moderators") && from.has("audit") ? ["moderator", "audit"] : [];
}

/** The photos to export, the most trusted first, so that a limit leaves out claims before it leaves out reviews. */
export async function* labelled(
  db: Pool,
  { from, since, limit, apart, belongs }: Choice,
  listingOf: (key: string) => string | undefined,
  seen: Seen,
): AsyncGenerator<LabelledPhoto> {
  let left = limit;
  // one that was judged before workers knew the template
  const known = <P extends Place>(place: P): P => ({
    ...place,
    listing: place.listing ?? listingOf(place.key) ?? null,
  });
  for await (const page of pages(db, from, since)) {
    const ids = page.map(({ id }) => id);
    const firsts = apart ? await firstOfSameBytes(db, ids) : new Map<string, Place>();
    if (!firsts) seen.copiesUnknown = true;
    for (const each of page) {
      const first = firsts?.get(each.id);
      const photo = { ...known(each), ...(first && { first: known(first) }) };
      const label = labelOf(photo);
      const asked = label !== undefined && isAsked(photo, belongs);
      if (asked && left-- === 0) return;
      if (label) {
        seen.labels++;
        if (photo.listing === null) seen.withoutListing++;
        if (asked) seen.sources.add(label.source);
        else if (!belongs(label.source)) seen.others.add(label.source);
      }
      yield photo;
    }
  }
  seen.all = since.valueOf() <= 0;
}

async function* pages(db: Pool, from: ReadonlySet<string>, since: Date): AsyncGenerator<LabelledPhoto[]> {
  const [moderators, audit] = [from.has("moderators"), from.has("audit")];
  if (moderators || audit) yield* reviewedPhotos(db, { since, ...(moderators !== audit && { audit }) });
  if (from.has("claims")) yield* claimedPhotos(db, { since });
}

/** What whoever exports should know of those that were looked at. */
export function warningsOf(
  { labels, withoutListing, sources, others, all, copiesUnknown }: Seen,
  { apart }: Choice,
): string[] {
  const warnings: string[] = [];
  if (withoutListing > 0) {
    const few = `${withoutListing} of ${counted(labels, "label")} ${labels === 1 ? "has" : "have"} no listing`;
    const then = "their source is the folder of their key, and one restaurant may be in several";
    warnings.push(`${few}: ${then}; set MAITRED_KEY_TEMPLATE where keys name the listing`);
  }
  if (copiesUnknown) {
    warnings.push(
      "a picture of two listings may be on both sides, as an index is missing by which they are told: run maitred migrate, and export both again",
    );
  }
  // where only a part was looked at, as by --since, a folder has more than this run tells of
  if (!apart || !all || labels === 0 || Math.min(sources.size, others.size) >= FEW_SOURCES) return warnings;
  const [one, ...more] = [...sources, ...others];
  const few =
    more.length === 0
      ? `all photos are of one source, ${one}, so that ${sources.size === 0 ? "this folder" : "the folder of the others"} has none`
      : `too few sources: ${sources.size} for this folder, ${others.size} for that of the others, and photos of one source are alike`;
  const then =
    withoutListing > 0 ? "give listings with the upload" : "label photos of more, or give both another share";
  return [...warnings, `${few}: ${then}`];
}

const FROM = ["moderators", "claims", "audit"];
