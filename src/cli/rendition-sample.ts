import type { S3Client } from "@aws-sdk/client-s3";
import { parseRendition } from "../backfill/rendition.ts";
import { UpstreamError } from "../errors.ts";
import { objectSize } from "../image/s3-bucket.ts";
import type { PhotoRef } from "../photo.ts";

/** What a look at the renditions of some photos says of all of them. */
export interface RenditionEstimate {
  looked: number;
  found: number;
  /** Of all renditions together, as far as there are any. */
  bytes: number;
  /** Photos that are read themselves, after a request that found no rendition. */
  originals: number;
}

/**
 * Looks for the renditions of `some` photos, as evenly drawn from all `photos`.
 *
 * @throws {UpstreamError} STORE_UNAVAILABLE.
 */
export async function estimateRenditions(
  s3: S3Client,
  some: readonly PhotoRef[],
  photos: number,
  template: string,
): Promise<RenditionEstimate> {
  const renditionOf = parseRendition(template);
  let [found, bytes] = [0, 0];
  for (const photo of some) {
    const rendition = renditionOf(photo);
    const size = rendition?.store === "s3" ? await objectSize(s3, rendition) : undefined;
    if (size === undefined) continue;
    found++;
    bytes += size;
  }
  const each = photos / Math.max(1, some.length);
  return {
    looked: some.length,
    found,
    bytes: Math.round(bytes * each),
    originals: Math.round((some.length - found) * each),
  };
}

/** Bytes of all `photos`, as the sizes of those of `some` that are there say, evenly drawn; null where none is or no answer comes. */
export async function estimateBytes(
  s3: S3Client,
  some: readonly PhotoRef[],
  photos: number,
): Promise<{ bytes: number; found: number } | null> {
  let [found, bytes] = [0, 0];
  try {
    for (const photo of some.filter(({ store }) => store === "s3")) {
      const size = await objectSize(s3, photo);
      if (size !== undefined) [found, bytes] = [found + 1, bytes + size];
    }
  } catch (thrown) {
    // without the bucket the rest of what a dry run says is worth as much
    if (!(thrown instanceof UpstreamError)) throw thrown;
    return null;
  }
  return found > 0 ? { bytes: Math.round((bytes * photos) / some.length), found } : null;
}

export interface Sample<T> {
  offer(item: T): void;
  kept: T[];
}

/** Keeps `size` of the items that it is offered, each with the same chance. */
export function createSample<T>(size: number, random: () => number = Math.random): Sample<T> {
  const kept: T[] = [];
  let offered = 0;
  return {
    kept,
    offer(item) {
      const place = kept.length < size ? kept.length : Math.floor(random() * (offered + 1));
      offered++;
      if (place < size) kept[place] = item;
    },
  };
}
