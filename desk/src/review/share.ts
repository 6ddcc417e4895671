import type { Kind, Queue } from "../types.ts";
import { type Item, type Items, isOpen } from "./list.ts";

/**
 * How many photos a page may hold: sixty where no other moderator is there, else as many as come to each of them, so that a
 * short list leaves nobody idle. Audits wait for nobody: what is urgent is shared out as if there were none.
 *
 * @param kind what is asked for; undefined: all kinds.
 */
export function shareOf({ kinds, moderators }: Queue, kind: Kind | undefined): number {
  if (moderators < 2) return HOLD;
  const { audit = 0, ...others } = kinds;
  const urgent = Object.values(others).reduce((sum, each) => sum + each, 0);
  const waits = kind ? (kinds[kind] ?? 0) : urgent || audit;
  return Math.max(FEW, Math.min(HOLD, Math.ceil(waits / moderators)));
}

/** At how few that are left of such a share more are claimed: before the next key finds none. */
export function lowOf(share: number): number {
  return Math.ceil(share / 2);
}

/**
 * What a page holds beyond its share, from the end of its list; none where that is little, or photos would go to and fro as
 * each is decided.
 *
 * @param keeps what its moderator has begun with.
 */
export function surplusOf(items: Items, share: number, keeps: (item: Item) => boolean): Items {
  const held = items.filter(isOpen);
  const surplus = held.length - share;
  return surplus < share / 2 ? [] : held.filter((item) => !keeps(item)).slice(-surplus);
}

/** As many as fill a screen, and no network is so slow that they are decided before more come. */
const HOLD = 60;
/** Enough for the keys not to wait for the network. */
const FEW = 4;
