/** The words of the product as types, and its photos by lane: what every other module speaks of. */

/** Which bucket protocol holds the object: `s3`, or `folder`, whose bucket is an absolute folder. */
export type Store = "s3" | "folder";

/** Live photos go first into every batch; backfill photos fill what is left. */
export const LANES = ["live", "backfill"] as const;
export type Lane = (typeof LANES)[number];

/** Photos of several lanes as the queues take them: those of one after those of the other. */
export function byLane<T extends { lane: Lane }>(photos: readonly T[]): [Lane, Omit<T, "lane">[]][] {
  return LANES.map((lane) => [
    lane,
    photos.filter((photo) => photo.lane === lane).map(({ lane: _, ...photo }) => photo),
  ]);
}

/**
 * One version of one object. `version` is a version id, `etag:` and the etag, `generation:` and that of Cloud Storage, or "" for
 * whatever is there now.
 */
export interface PhotoRef {
  store: Store;
  bucket: string;
  key: string;
  version: string;
}

export const UPLOADERS = ["moderator", "user"] as const;
export type Uploader = (typeof UPLOADERS)[number];

/** What the platform knows of a photo, from its event, its object's metadata, or its key. */
export interface PhotoMetadata {
  listing?: string;
  uploader?: Uploader;
  /** The category its uploader marked; never trusted, kept to learn from. */
  claimed?: string;
}

/** A photo that waits in a queue. `id` is its row in Postgres. */
export interface PhotoJob extends PhotoRef {
  id: string;
  known: PhotoMetadata;
  /** A smaller copy, which is judged in place of the object where it can be had. */
  rendition?: PhotoRef;
  /** Queued for backfills that wait for it: when none does any more, a worker has judged it before and failed to say so. */
  fed?: true;
  /** Found in the place of a photo that was gone. Where it is gone too nobody looks again: a key may be overwritten all the time. */
  found?: true;
}

export interface EventOutcome {
  /** null where the event speaks of no photo that is known. */
  photoId: string | null;
  outcome: "accepted" | "known" | "removed" | "duplicate" | "stale";
  /** The photo has no verdict, and no queue is known to hold it. */
  queue: boolean;
}

/** What the model says of one photo: probabilities 0..1. */
export interface Scores {
  /** By category name; they sum to 1. */
  categories: Record<string, number>;
  /** That any human is visible. */
  human: number;
}

/** Where in the frame the model sees a human: width * height scores 0..1, row by row from the top left. */
export interface HumanMap {
  width: number;
  height: number;
  values: Float32Array;
}

/** A category that passed its threshold. */
export interface Tag {
  category: string;
  score: number;
  threshold: number;
}

export const VERDICTS = ["shown", "hidden", "review"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What a photo is, whatever was decided of it before. */
export const STATES = ["pending", ...VERDICTS, "failed"] as const;
export type PhotoState = (typeof STATES)[number];

/** A verdict as the policy gives it. `rule` is stable and counted; `reason` is for a person to read. */
export interface Decision {
  verdict: Verdict;
  rule: string;
  reason: string;
  /** The most probable category, whether or not it passed. */
  category: string;
  tags: Tag[];
}
