import { createHash } from "node:crypto";
import type { PhotoRef, Scores } from "./photo.ts";

/** Who says what a photo shows, the most trusted first: a moderator (audits by random sample apart), or its uploader. */
export type Origin = "moderator" | "audit" | "claim";

/** The categories that training/ knows. */
export const TRAINED_CATEGORIES: readonly string[] = ["food", "ambience", "menu", "other"];

/** What a model said of a photo, the last time before its label was given. */
interface ModelSaid {
  /** `model:NAME`. */
  by: string;
  verdict: string;
  /** Why, as `daily_counts` has it. */
  rule: string;
  /** By category. */
  scores: Record<string, number>;
  human: number;
}

/** A photo of which somebody said what it shows, as the store knows it. */
export interface LabelledPhoto extends PhotoRef {
  id: string;
  listing: string | null;
  /** When it was last uploaded again, of one whose bytes may be others since: it is known by its key alone. */
  revivedAt: Date | null;
  origin: Origin;
  /** As that person said it, which may be no category of ours; null where they did not say. */
  category: string | null;
  human: boolean | null;
  /** `moderator:NAME`, or `uploader:KIND`. */
  by: string;
  at: Date;
  model: ModelSaid | null;
  /** Where the first photo lies that had the same bytes, if it is another one and that was asked for. */
  first?: Place;
}

/** What tells the source of a photo. */
export type Place = Pick<LabelledPhoto, "listing" | "bucket" | "key">;

/** One line of labels.jsonl, as training/README.md has it, and where it comes from. */
export interface Label {
  file: string;
  category: string | null;
  /** The category is the model's: a moderator who looked for humans gave none. */
  left: boolean;
  human: boolean | null;
  source: string;
  origin: Origin;
  by: string;
  at: string;
  photo: string;
  store: string;
  bucket: string;
  key: string;
  version: string;
  model: ModelSaid | null;
}

/**
 * The label of a photo, or nothing where it would teach nothing: neither a category that training knows nor a word
 * on humans. A category that a moderator left as it was is the model's.
 */
export function labelOf(photo: LabelledPhoto): Label | undefined {
  const { id, store, bucket, key, version, origin, human, by, at, model } = photo;
  // the desk shows it beside what it asks; who hid the photo for another reason need not have looked at it
  const leftAs = photo.category === null && human !== null && model ? bestCategory(model.scores) : null;
  const said = (photo.category ?? leftAs)?.toLowerCase();
  const category = TRAINED_CATEGORIES.find((known) => known === said) ?? null;
  if (category === null && human === null) return undefined;
  const left = category !== null && leftAs !== null;
  const about = { photo: id, store, bucket, key, version, model };
  const source = sourceOf(photo);
  return { file: fileOf(photo), category, left, human, source, origin, by, at: at.toISOString(), ...about };
}

/** The listing, else the folder that the key lies in: photos that share it are alike, and are left out of training together. */
export function sourceOf({ listing, bucket, key }: Place): string {
  return listing ? `listing:${listing}` : `prefix:${bucket}/${key.slice(0, key.lastIndexOf("/") + 1)}`;
}

/** Whether all sources of its picture are asked for: its own, and that of the first photo with the same bytes. */
export function isAsked(photo: LabelledPhoto, belongs: (source: string) => boolean): boolean {
  return [photo, ...(photo.first ? [photo.first] : [])].every((place) => belongs(sourceOf(place)));
}

/** Null where there is none. */
export function bestCategory(categories: Scores["categories"]): string | null {
  return Object.entries(categories).sort(([, a], [, b]) => b - a)[0]?.[0] ?? null;
}

/**
 * Whether a source is one of those, `share` of all, that are kept for measuring: the same ones in every export, and with a
 * larger share these and others.
 */
export function isHeldOut(source: string, share: number): boolean {
  return createHash("sha256").update(source).digest().readUInt32BE() < share * 2 ** 32;
}

/** Where a photo lies in the folder of labels. What was uploaded again is another file: no label is ever beside other bytes. */
export function fileOf({ id, revivedAt }: LabelledPhoto): string {
  return `photos/${revivedAt ? `${id}-${revivedAt.valueOf()}` : id}.jpg`;
}

/** Whether it is where that photo lies, or lay before it was uploaded again. */
export function isFileOf(id: string, file: string): boolean {
  return /^photos\/([^-]*?)(-\d+)?\.jpg$/.exec(file)?.[1] === id;
}
