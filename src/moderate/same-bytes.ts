import { createHash } from "node:crypto";
import type { Lane, Scores } from "../photo.ts";

/** What one model said of a photo. */
export interface Scored {
  scores: Scores;
  /** Names the batch that it was in, or `same-ID`: the photo whose bytes were the same. */
  batch: string;
  /** SHA-256 of the bytes, hex, where the model ran for them and others may have its scores. */
  digest?: string;
  /** The same, where the scores are those of another photo. */
  copyOf?: string;
}

/** Scores that a model gave before, and to which photo. */
export interface KnownScores {
  photoId: string;
  scores: Scores;
}

/** Scores of bytes; `judge` is asked only where nobody knows them. */
export type Score = (
  photoId: string,
  bytes: Uint8Array,
  lane: Lane,
  judge: () => Promise<Scored>,
) => Promise<Scored>;

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export const scoreUnnamed: Score = (_photoId, _bytes, _lane, judge) => judge();

/** Has each photo judged, and says which bytes it was. */
export const scoreEach: Score = async (_photoId, bytes, _lane, judge) => {
  const digest = digestOf(bytes);
  return { ...(await judge()), digest };
};

/**
 * Lets one model judge the same bytes once: what it said of them before is in `known`, and what is in hand here is waited
 * for. A failure is that of all who wait for it, for their bytes are the same, and is known to nobody afterwards. A live
 * photo waits for live ones only, or the archive would stand in front of it. Other workers may be judging the same
 * bytes meanwhile: that costs their time, and changes nothing.
 *
 * @param found told of each photo that was spared its judging.
 */
export function createScore(
  known: (digest: string, lane: Lane) => Promise<KnownScores | undefined>,
  found: (lane: Lane) => void,
): Score {
  const inHand = { live: new Map<string, Judging>(), backfill: new Map<string, Judging>() };

  async function first(digest: string, lane: Lane, judge: () => Promise<Scored>): Promise<Scored> {
    const before = await known(digest, lane);
    if (!before) return { ...(await judge()), digest };
    found(lane);
    return { scores: before.scores, batch: `same-${before.photoId}`, copyOf: digest };
  }

  return async (photoId, bytes, lane, judge) => {
    const digest = digestOf(bytes);
    const other = inHand[lane].get(digest);
    if (other) {
      const { scores, batch, digest: own } = await other.scored;
      found(lane);
      // of whom it has its scores itself, where it was spared too
      return { scores, batch: own ? `same-${other.photoId}` : batch, copyOf: digest };
    }
    const scored = first(digest, lane, judge);
    inHand[lane].set(digest, { photoId, scored });
    try {
      return await scored;
    } finally {
      inHand[lane].delete(digest);
    }
  };
}

interface Judging {
  photoId: string;
  scored: Promise<Scored>;
}
