import { ConfigError } from "../errors.ts";
import { MAX_KEY_BYTES } from "../intake/shape.ts";
import type { PhotoJob, PhotoRef } from "../photo.ts";

/** Names the smaller copy of a photo; undefined where it can have none. */
type RenditionOf = (photo: PhotoRef) => PhotoRef | undefined;

/**
 * Where the smaller copies of photos lie, by a template such as `resized/{key}.jpg` in the photo's own bucket, or
 * `s3://thumbs/{key}` in another. {key} is the photo's key, {stem} the same without its last extension, {bucket} its
 * bucket. It says how to make a key, where MAITRED_KEY_TEMPLATE says what to read from one.
 *
 * @throws {ConfigError} saying what is wrong with the template.
 */
export function parseRendition(template: string): RenditionOf {
  const wrong = (what: string): ConfigError =>
    new ConfigError(`rendition template: ${what}, got ${JSON.stringify(template)}`);
  const [, bucket, key] = /^s3:\/\/([^/]*)\/(.*)$/s.exec(template) ?? [undefined, undefined, template];
  if (bucket === "" || key === "" || (bucket === undefined && /^\w+:\//.test(template))) {
    throw wrong("expected a key such as resized/{key}, or s3://bucket/ and a key");
  }
  const unknown = template.replaceAll(/\{(key|stem|bucket)\}/g, "").match(/\{[^{}]*\}?|\}/);
  if (unknown) throw wrong(`expected {key}, {stem} and {bucket} as the only braces, not ${unknown[0]}`);
  if (bucket !== undefined && /\{(key|stem)\}/.test(bucket)) {
    throw wrong("expected {bucket} as the only field in the name of the bucket");
  }
  // all photos would be judged by the same object
  if (!/\{(key|stem)\}/.test(key!)) throw wrong("expected {key} or {stem} in the key");
  if (key === "{key}" && (bucket === undefined || bucket === "{bucket}")) {
    throw wrong("expected another object than the photo itself");
  }
  return (photo) => {
    const fill = (part: string): string =>
      part.replaceAll(/\{(\w+)\}/g, (_, field: string) =>
        field === "bucket" ? photo.bucket : field === "key" ? photo.key : stemOf(photo.key),
      );
    const rendition: PhotoRef =
      bucket === undefined
        ? { store: photo.store, bucket: photo.bucket, key: fill(key!), version: "" }
        : { store: "s3", bucket: fill(bucket), key: fill(key!), version: "" };
    const same = (["store", "bucket", "key"] as const).every((part) => rendition[part] === photo[part]);
    return same || Buffer.byteLength(rendition.key) > MAX_KEY_BYTES ? undefined : rendition;
  };
}

/** The bucket that a template names for all photos; undefined where it is each photo's own. */
export function renditionBucket(template: string): string | undefined {
  const bucket = /^s3:\/\/([^/]*)\//.exec(template)?.[1];
  return bucket?.includes("{bucket}") ? undefined : bucket;
}

/**
 * Photos as they are queued by a backfill that reads renditions; null: it reads none. Nor does it by a template that is not
 * understood: such a backfill feeds nothing new, and what waits for it is judged itself, before and after it is cancelled.
 */
export function withRenditions(photos: readonly PhotoJob[], template: string | null): PhotoJob[] {
  const renditionOf = template === null ? undefined : understood(template);
  return photos.map((photo) => {
    const rendition = renditionOf?.(photo);
    return rendition ? { ...photo, rendition } : photo;
  });
}

function understood(template: string): RenditionOf | undefined {
  try {
    return parseRendition(template);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return undefined;
    throw thrown;
  }
}

function stemOf(key: string): string {
  return key.replace(/\.[^./]+$/, "");
}
