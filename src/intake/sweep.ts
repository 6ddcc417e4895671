import { ConfigError } from "../errors.ts";
import { compareKeys } from "../key-order.ts";
import {
  type BucketObject,
  type KnownObject,
  type Looked,
  type Rules,
  settle,
  type Wanted,
} from "./settle.ts";

/** The neighbours of a sweep: the store, the table of photos, and the queue. */
export interface SweepDeps extends Looked {
  /**
   * The listing behind a key, in the order of the bytes of the keys; each page says up to which key it is complete, the
   * last one undefined.
   */
  pages(after: string): AsyncIterable<{ objects: BucketObject[]; upTo: string | undefined }>;
  /** Objects with a current photo behind `after` up to `upTo`, at most `limit` of them, in the same order. */
  known(after: string, upTo: string | undefined, limit: number): Promise<KnownObject[]>;
  /** How many objects with a current photo there are; of many, no more than `limit` are counted. */
  countKnown(limit: number): Promise<number>;
  /** Waits until the queue has room. */
  room(): Promise<void>;
  /** Commits a step and queues what it made known. */
  commit(step: Step): Promise<Committed>;
}

export interface Step {
  /** Where the sweep was, and where it is now: every key up to `to` is done. */
  from: string;
  to: string;
  counts: { listed: number; known: number; young: number; unclear: number };
  items: readonly Wanted[];
}

export interface Committed {
  missed: number;
  gone: number;
  known: number;
  unclear: number;
}

export interface Totals {
  listed: number;
  known: number;
  missed: number;
  gone: number;
  young: number;
  unclear: number;
}

export interface Swept extends Totals {
  /** Set where it stopped because it would have withdrawn too many photos: `removals` of at most `known`. */
  refused?: { removals: number; known: number };
}

/**
 * Compares a bucket with the table of photos in one pass over both, a page at a time: what is in the bucket and not known
 * becomes known and is queued, what is known and not in the bucket any more is withdrawn. Memory is flat. Each step is
 * committed with how far it is, so that a sweep that died goes on from there.
 *
 * @param from where it begins, and what it had counted up to there.
 * @param report is told after each step.
 * @throws what the neighbours throw; what was committed stays, and nothing else was done.
 */
export async function sweep(
  deps: SweepDeps,
  rules: Rules & { allowRemovals: boolean },
  from: { cursor: string } & Totals,
  signal: AbortSignal,
  report: (totals: Totals, cursor: string) => void,
): Promise<Swept> {
  const { cursor: start, ...totals } = from;
  let [cursor, last] = [start, start];
  const bearable = removalGuard(deps, rules.allowRemovals);
  for await (const page of deps.pages(start)) {
    for (const { key } of page.objects) {
      // the same once more is what is done already: of some stores the key to begin behind, or an older version of the
      // last key whose latest was deleted between two pages
      if (compareKeys(key, last) < 0) throw unordered(last, key);
      last = key;
    }
    for await (const slice of slices(deps, page, cursor)) {
      signal.throwIfAborted();
      const { counts, items } = await settle(deps, rules, slice.listed, slice.known);
      const removals = items.filter(({ kind }) => kind === "removed").length;
      const refused = await bearable(totals.gone, removals);
      if (refused) return { ...totals, refused };
      if (items.length > removals) await deps.room();
      signal.throwIfAborted();
      const done = await deps.commit({ from: cursor, to: slice.upTo, counts, items });
      cursor = slice.upTo;
      totals.listed += counts.listed;
      totals.young += counts.young;
      totals.known += counts.known + done.known;
      totals.unclear += counts.unclear + done.unclear;
      totals.missed += done.missed;
      totals.gone += done.gone;
      report(totals, cursor);
    }
  }
  return totals;
}

interface Slice {
  listed: BucketObject[];
  known: KnownObject[];
  upTo: string;
}

/** A page of the listing beside what is known in its range, which may be more than fits into memory. */
async function* slices(
  deps: SweepDeps,
  page: { objects: BucketObject[]; upTo: string | undefined },
  cursor: string,
): AsyncGenerator<Slice> {
  let after = cursor;
  let listed = page.objects.filter(({ key }) => compareKeys(key, after) > 0);
  const end = page.upTo === undefined ? undefined : storable(page.upTo);
  for (;;) {
    const known = await deps.known(after, end, KNOWN_PAGE);
    const full = known.length === KNOWN_PAGE;
    const upTo = full ? known.at(-1)!.key : end;
    const split =
      upTo === undefined ? listed.length : listed.findIndex(({ key }) => compareKeys(key, upTo) > 0);
    const here = split === -1 ? listed : listed.slice(0, split);
    listed = split === -1 ? [] : listed.slice(split);
    const lastKey = [here.at(-1)?.key, known.at(-1)?.key]
      .flatMap((key) => (key === undefined ? [] : [storable(key)]))
      .sort(compareKeys)
      .at(-1);
    after = upTo ?? lastKey ?? after;
    yield { listed: here, known, upTo: after };
    if (!full) return;
  }
}

/**
 * Postgres holds no zero character. Of the keys that it can hold, those up to this one are the same as those up to the
 * whole key.
 */
function storable(key: string): string {
  return key.split("\0")[0]!;
}

/**
 * A mistake elsewhere (a bucket emptied by accident, another server at the same address) must not empty the page: more
 * than a few removals, and more than a tenth of what was known, are for a person to allow.
 *
 * @returns asked before each step; undefined where it is fine.
 */
function removalGuard(
  deps: SweepDeps,
  allowed: boolean,
): (gone: number, removals: number) => Promise<Swept["refused"]> {
  // removals turn what is known into what is gone, and leave their sum as it is
  let enough = 0;
  return async (gone, removals) => {
    const all = gone + removals;
    if (allowed || removals === 0 || all <= FEW_REMOVALS || all <= enough * REMOVABLE) return undefined;
    // counting twice as many as are needed now spares counting again at each step
    enough = gone + (await deps.countKnown(Math.ceil((2 * all) / REMOVABLE)));
    return all <= enough * REMOVABLE ? undefined : { removals: all, known: enough };
  };
}

function unordered(before: string, key: string): ConfigError {
  return new ConfigError(
    "CONFIG_INVALID",
    `the store lists ${JSON.stringify(key)} behind ${JSON.stringify(before)}, which is not the order of their bytes: such a bucket cannot be swept`,
  );
}

const KNOWN_PAGE = 2_000;
const FEW_REMOVALS = 100;
const REMOVABLE = 0.1;
