import type { Kind, Queue } from "../types.ts";
import { type Item, type Items, open } from "./list.ts";

/** What a page may hold of what waits. */
export interface Share {
  photos: number;
  /** Whether audits are among these; else they come on top, as none keeps anybody from what is urgent. */
  audits: boolean;
  /** How many come to as much. */
  moderators: number;
}

/**
 * Sixty photos where no other moderator is there, else as many as come to each of them, so that a short list leaves nobody
 * idle. Audits wait for nobody: what is urgent is shared out as if there were none, unless that is so little that one page may
 * have it all. Then audits fill the list up, and stay as each upload comes and goes.
 *
 * @param kind what is asked for; undefined: all kinds.
 */
export function shareOf({ kinds, moderators }: Queue, kind: Kind | undefined): Share {
  // an API of before this page, while a new version comes, says of nobody that they are there
  if (!(moderators >= 2)) return { photos: HOLD, audits: true, moderators: 1 };
  const { audit = 0, ...others } = kinds;
  const urgent = Object.values(others).reduce((sum, each) => sum + each, 0);
  const audits = kind === "audit" || urgent <= FEW;
  const waits = kind ? (kinds[kind] ?? 0) : urgent + (audits ? audit : 0);
  return { photos: Math.max(FEW, Math.min(HOLD, Math.ceil(waits / moderators))), audits, moderators };
}

/** Whether so little of its share is left that more is claimed: before the next key finds none. */
export function runsLow(items: Items, share: Share): boolean {
  return shared(items, share).length <= half(share.photos) && open(items).length <= half(HOLD);
}

/** How many a page asks for, those it holds included. */
export function limitOf(items: Items, share: Share): number {
  return share.photos + open(items).length - shared(items, share).length;
}

/**
 * What a page holds beyond its share, from the end of its list; none where that is less than comes to a newcomer, or photos
 * would go to and fro as each is decided.
 *
 * @param keeps what its moderator has begun with.
 */
export function surplusOf(items: Items, share: Share, keeps: (item: Item) => boolean): Items {
  const held = shared(items, share);
  const surplus = held.length - share.photos;
  return surplus < share.photos / share.moderators ? [] : held.filter((item) => !keeps(item)).slice(-surplus);
}

function shared(items: Items, { audits }: Share): Items {
  return open(items).filter(({ photo }) => audits || photo.kind !== "audit");
}

function half(photos: number): number {
  return Math.ceil(photos / 2);
}

/** As many as fill a screen, and no network is so slow that they are decided before more come. */
const HOLD = 60;
/** Enough for the keys not to wait for the network. */
const FEW = 4;
