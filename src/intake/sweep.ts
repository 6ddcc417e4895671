import { compareKeys, storableKey } from "../key-order.ts";
import {
  type KnownObject,
  type ListedObject,
  type ReconcileDeps,
  type ReconcileRules,
  reconcileRange,
  type Wanted,
} from "./reconcile-range.ts";
import { fits, MAX_KEY_BYTES } from "./shape.ts";

export interface ListedPage {
  /** In the order in which the store lists: that of the bytes of their keys. */
  objects: ListedObject[];
  /** The listing is complete up to this key; undefined at its end. */
  upTo: string | undefined;
}

export interface SweepDeps extends ReconcileDeps {
  /** The listing behind a key. */
  pages(after: string): AsyncIterable<ListedPage>;
  /** Objects with a current photo behind `after` up to `upTo`, at most `limit` of them, in the same order. */
  known(after: string, upTo: string | undefined, limit: number): Promise<KnownObject[]>;
  /** Those of these objects that have a current photo. */
  knownOf(keys: readonly string[]): Promise<KnownObject[]>;
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

/** What a sweep has found so far; the table `sweeps` says what each counts. */
export interface Totals {
  listed: number;
  known: number;
  missed: number;
  gone: number;
  young: number;
  unclear: number;
}

interface Swept extends Totals {
  /** Set where it stopped because it would have withdrawn too many photos: `removals` of at most `known`. */
  refused?: { removals: number; known: number };
  /** Set where the store listed keys elsewhere than in the order of their bytes: how many, and one of them. */
  unordered?: { keys: number; such: string };
}

/**
 * Compares a bucket with the table of photos in one pass over both, a page at a time: what is in the bucket and not known
 * becomes known and is queued, what is known and not in the bucket any more is withdrawn. Memory is flat. Each step is
 * committed with how far it is, so that a sweep that died goes on from there. What a store lists out of order is compared
 * key by key: that is right for any order, and slow where much of it is.
 *
 * @param from where it begins, and what it had counted up to there.
 * @param report is told after each step.
 * @throws what the neighbours throw; what was committed stays, and nothing else was done.
 */
export async function sweep(
  deps: SweepDeps,
  rules: ReconcileRules & { allowRemovals: boolean },
  from: { cursor: string } & Totals,
  signal: AbortSignal,
  report: (totals: Totals, cursor: string) => void,
): Promise<Swept> {
  const { cursor: start, ...totals } = from;
  let cursor = start;
  let unordered: Swept["unordered"];
  const bearable = removalGuard(deps, rules.allowRemovals);

  /** @returns why it must not be done. */
  async function step({ listed, known, upTo }: Slice): Promise<Swept["refused"]> {
    signal.throwIfAborted();
    const { counts, items } = await reconcileRange(deps, rules, listed, known);
    const removals = items.filter(({ kind }) => kind === "removed").length;
    const refused = await bearable(totals.gone, removals);
    if (refused) return refused;
    if (items.length > removals) await deps.room();
    signal.throwIfAborted();
    const done = await deps.commit({ from: cursor, to: upTo, counts, items });
    cursor = upTo;
    totals.listed += counts.listed;
    totals.young += counts.young;
    totals.known += counts.known + done.known;
    totals.unclear += counts.unclear + done.unclear;
    totals.missed += done.missed;
    totals.gone += done.gone;
    report(totals, cursor);
    return undefined;
  }

  for await (const page of deps.pages(start)) {
    const isStray = ({ key }: ListedObject): boolean =>
      compareKeys(key, cursor) < 0 || (page.upTo !== undefined && compareKeys(key, page.upTo) > 0);
    // before the cursor moves
    const strays = page.objects.filter(isStray);
    const objects = page.objects.filter((object) => !isStray(object));
    for await (const slice of slices(deps, { ...page, objects }, cursor)) {
      const refused = await step(slice);
      if (refused) return { ...totals, refused };
    }
    if (strays.length === 0) continue;
    unordered = { keys: (unordered?.keys ?? 0) + strays.length, such: unordered?.such ?? strays[0]!.key };
    const known = await deps.knownOf(strays.flatMap(({ key }) => (fits(key, MAX_KEY_BYTES) ? [key] : [])));
    const refused = await step({ listed: strays, known, upTo: cursor });
    if (refused) return { ...totals, refused };
  }
  return { ...totals, ...(unordered && { unordered }) };
}

interface Slice {
  listed: ListedObject[];
  known: KnownObject[];
  upTo: string;
}

/** A page of the listing beside what is known in its range, which may be more than fits into memory. */
async function* slices(deps: SweepDeps, page: ListedPage, cursor: string): AsyncGenerator<Slice> {
  let after = cursor;
  // of some stores the key to begin behind comes again, or an older version of the last key whose latest was deleted since
  let listed = page.objects
    .filter(({ key }) => compareKeys(key, after) > 0)
    .sort((a, b) => compareKeys(a.key, b.key));
  const end = page.upTo === undefined ? undefined : storableKey(page.upTo);
  if (end !== undefined && compareKeys(end, after) < 0) return;
  for (;;) {
    const known = await deps.known(after, end, KNOWN_PAGE);
    const full = known.length === KNOWN_PAGE;
    const upTo = full ? known.at(-1)!.key : end;
    const split =
      upTo === undefined ? listed.length : listed.findIndex(({ key }) => compareKeys(key, upTo) > 0);
    const here = split === -1 ? listed : listed.slice(0, split);
    listed = split === -1 ? [] : listed.slice(split);
    const lastKey = [here.at(-1)?.key, known.at(-1)?.key]
      .flatMap((key) => (key === undefined ? [] : [storableKey(key)]))
      .sort(compareKeys)
      .at(-1);
    after = upTo ?? lastKey ?? after;
    yield { listed: here, known, upTo: after };
    if (!full) return;
  }
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

const KNOWN_PAGE = 2_000;
const FEW_REMOVALS = 100;
const REMOVABLE = 0.1;
