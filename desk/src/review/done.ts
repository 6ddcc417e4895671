import type { Photo } from "../types.ts";

/** A decision that may be taken back. */
interface Done {
  id: string;
  photo: string;
  key: string;
  /** That somebody was not sure, which is no decision that the pace counts. */
  pass?: boolean;
  /** The photo as it was before, where the list had it. */
  before: Photo | undefined;
}

/** Decisions by when they were made, those together that were made at once. */
export type AllDone = readonly (readonly Done[])[];

/** What a moderator may take back, what was made at once at once. */
export interface Undoable {
  push(group: readonly Done[]): void;
  /** The last, which is forgotten by this. */
  pop(): readonly Done[] | undefined;
  /** There is nothing to take back of this one. */
  drop(id: string): void;
  /** As much of the last as a tab has room for, which is some million characters. */
  kept(): AllDone;
}

/** @param before what the page before this one in its tab kept. */
export function createUndoable(before: AllDone = []): Undoable {
  let done = before;
  return {
    push(group) {
      // the oldest are beyond what anybody remembers
      done = [...done, group].slice(-MOST);
    },
    pop() {
      const last = done.at(-1);
      done = done.slice(0, -1);
      return last;
    },
    drop(id) {
      done = done.map((group) => group.filter((each) => each.id !== id)).filter((group) => group.length > 0);
    },
    kept() {
      let room = MOST_KEPT;
      const tooMany = done.findLastIndex((group) => {
        room -= group.length;
        return room < 0;
      });
      return done.slice(tooMany + 1);
    },
  };
}

const MOST = 500;
/** Decisions, each of which takes about two thousand characters with its photo. */
const MOST_KEPT = 500;
