import { createReadStream, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { each } from "../each.ts";
import { ConfigError, codeOf, PhotoError, UpstreamError } from "../errors.ts";
import {
  fileOf,
  isAsked,
  isFileOf,
  type Label,
  type LabelledPhoto,
  labelOf,
  type Origin,
  sourceOf,
} from "../label.ts";
import { linesOf } from "../lines.ts";
import { replaceFile } from "../replace-file.ts";
import { alone } from "./lock.ts";

export interface ExportDeps {
  /** Bytes of the photo as it is written. @throws {PhotoError}, {UpstreamError} */
  load(photo: LabelledPhoto): Promise<Uint8Array>;
  /** Waits before another try of a store that did not answer; `tries` is how many there have been. */
  pause(tries: number): Promise<void>;
  /** Of photos by their ids, those that are there and of which no moderator says anything any more. */
  withoutReview(photos: readonly string[]): Promise<string[]>;
  /** Called after each photo. */
  progress(done: Exported): void;
}

export interface ExportOptions {
  /** How many photos are in hand at once. */
  width: number;
  /** Tries of a photo whose store does not answer. */
  attempts: number;
  /** Origins of which the photos are all that there are. */
  whole?: readonly Origin[];
  /** Whether photos of a source are for this folder, see isAsked; labels of others go, also those of earlier runs. */
  belongs?: (source: string) => boolean;
  /** What a key tells of its listing now, which it may not have told an earlier run. */
  listingOf?: (key: string) => string | undefined;
}

export interface Exported {
  labels: number;
  /** Photos fetched now, and those that were there from an earlier run. */
  fetched: number;
  present: number;
  /** Said something, but nothing that training knows. */
  unusable: number;
  /** Labels of earlier runs that nobody gives any more. */
  takenBack: number;
  /** Photos of sources that do not belong into this folder, or that have the same bytes as an earlier one of these. */
  leftOut: number;
  origins: Record<string, number>;
  /** Photos that could not be had, with the code that says why. */
  missing: { photo: string; bucket: string; key: string; code: string; message: string }[];
}

export function nothingExported(): Exported {
  const none = { labels: 0, fetched: 0, present: 0, unusable: 0, takenBack: 0, leftOut: 0 };
  return { ...none, origins: {}, missing: [] };
}

/**
 * Writes photos and their labels to a folder as training/ reads it: `photos/ID.jpg` and `labels.jsonl`. A photo that is
 * there, beside a label that names the same object, is not fetched again, for a file never changes. Labels of an earlier
 * run stay, unless this one has a newer label of the same photo, or sees that nothing of it teaches anything any more, or
 * cannot have the photo, or has seen all labels of that origin, and that one was taken back. labels.jsonl is replaced as a
 * whole, also when this ends early.
 *
 * @throws {ConfigError} when a line of an earlier labels.jsonl is no label, or another export writes there, before anything is fetched; or
 * when nothing can be written.
 * @throws {UpstreamError} when a store does not answer; running it again goes on where it ended.
 */
export async function writeLabels(
  deps: ExportDeps,
  photos: AsyncIterable<LabelledPhoto>,
  folder: string,
  options: ExportOptions,
): Promise<Exported> {
  mkdirSync(join(folder, "photos"), { recursive: true });
  // each would replace the labels that the other adds
  return alone(folder, () => writeAlone(deps, photos, folder, options));
}

async function writeAlone(
  deps: ExportDeps,
  photos: AsyncIterable<LabelledPhoto>,
  folder: string,
  { width, attempts, whole = [], belongs = () => true, listingOf = () => undefined }: ExportOptions,
): Promise<Exported> {
  const labels = await readLabels(folder);
  for (const [file, line] of labels) {
    const label = JSON.parse(line) as Partial<Label>;
    if (!label.photo || !label.source || !isFileOf(label.photo, file)) continue;
    const source = sourceNow(label.source, label, listingOf);
    if (!belongs(source)) labels.delete(file);
    else if (source !== label.source) labels.set(file, JSON.stringify({ ...label, source }));
  }
  const seen = new Map<string, string>();
  const done = nothingExported();

  async function one(photo: LabelledPhoto): Promise<void> {
    const label = labelOf(photo);
    if (!label) {
      done.unusable++;
      // what it was when an earlier run saw it
      if (labels.delete(fileOf(photo))) done.takenBack++;
      return;
    }
    seen.set(label.photo, label.file);
    if (!isAsked(photo, belongs)) {
      done.leftOut++;
      // its listing was not known then, or the first photo of its picture
      labels.delete(label.file);
      return;
    }
    const file = join(folder, label.file);
    try {
      if (existsSync(file) && isOfSameObject(label, labels.get(label.file))) done.present++;
      else {
        await replaceFile(file, await load(deps, photo, attempts));
        done.fetched++;
      }
      labels.set(label.file, JSON.stringify(label));
      done.labels++;
      done.origins[label.origin] = (done.origins[label.origin] ?? 0) + 1;
    } catch (thrown) {
      if (!(thrown instanceof PhotoError)) throw thrown;
      const { id, bucket, key } = photo;
      labels.delete(label.file);
      done.missing.push({ photo: id, bucket, key, code: codeOf(thrown), message: thrown.message });
    }
  }

  try {
    await each(photos, width, async (photo) => {
      await one(photo);
      deps.progress(done);
    });
    const doubtful = new Map<string, string[]>();
    for (const [file, line] of whole.length > 0 ? labels : []) {
      const { photo, origin } = JSON.parse(line) as Partial<Label>;
      // lines of somebody's own name no photo of ours, or a file of theirs
      if (!photo || !origin || !whole.includes(origin) || !isFileOf(photo, file)) continue;
      if (!seen.has(photo)) doubtful.set(photo, [...(doubtful.get(photo) ?? []), file]);
      // of bytes before those that are labelled now
      else if (seen.get(photo) !== file && labels.delete(file)) done.takenBack++;
    }
    // one that was reviewed anew meanwhile, or erased, was not seen either
    const photosOf = [...doubtful.keys()];
    for (let at = 0; at < photosOf.length; at += PART) {
      for (const photo of await deps.withoutReview(photosOf.slice(at, at + PART))) {
        for (const file of doubtful.get(photo)!) if (labels.delete(file)) done.takenBack++;
      }
    }
  } finally {
    await replaceFile(join(folder, LABELS), inParts(labels.values()));
  }
  return done;
}

/** That of an earlier label whose photo had no listing then. */
function sourceNow(
  source: string,
  { bucket, key }: Partial<Label>,
  listingOf: (key: string) => string | undefined,
): string {
  if (bucket === undefined || key === undefined || !source.startsWith("prefix:")) return source;
  return sourceOf({ listing: listingOf(key) ?? null, bucket, key });
}

/** Another database, or one that was restored, gives the same id to another photo. */
function isOfSameObject(label: Label, line: string | undefined): boolean {
  if (line === undefined) return false;
  const earlier = JSON.parse(line) as Partial<Label>;
  return (["store", "bucket", "key", "version"] as const).every((field) => earlier[field] === label[field]);
}

async function load(
  { load, pause }: ExportDeps,
  photo: LabelledPhoto,
  attempts: number,
): Promise<Uint8Array> {
  for (let tries = 1; ; tries++) {
    try {
      return await load(photo);
    } catch (thrown) {
      if (!(thrown instanceof UpstreamError) || tries >= attempts) throw thrown;
      await pause(tries);
    }
  }
}

/** Lines by file, in their order. */
async function readLabels(folder: string): Promise<Map<string, string>> {
  const path = join(folder, LABELS);
  const labels = new Map<string, string>();
  if (!existsSync(path)) return labels;
  for await (const [number, line, isText] of linesOf(createReadStream(path), path)) {
    const label = isText ? parsed(line) : undefined;
    // to go on without it would lose what it says
    if (!label) {
      throw new ConfigError(`${path}:${number}: expected a label with its file, in UTF-8: mend or remove it`);
    }
    labels.set(label.file, line);
  }
  return labels;
}

/** A string cannot hold a million labels. */
function* inParts(lines: Iterable<string>): Generator<string> {
  let part: string[] = [];
  for (const line of lines) {
    part.push(`${line}\n`);
    if (part.length < PART) continue;
    yield part.join("");
    part = [];
  }
  yield part.join("");
}

function parsed(line: string): Label | undefined {
  try {
    const label = JSON.parse(line) as Label | null;
    return typeof label?.file === "string" ? label : undefined;
  } catch {
    return undefined;
  }
}

const LABELS = "labels.jsonl";
/** Lines written, and photos asked for, at once. */
const PART = 1_000;
