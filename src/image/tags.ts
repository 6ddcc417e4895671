import {
  DeleteObjectTaggingCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import type { PhotoTags, Tagged } from "../deliver/object-tags.ts";
import { PhotoError } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { etagOf, isAnyBytes, versionOf } from "../version.ts";
import { unavailable } from "./fetch.ts";
import { toHeadError } from "./s3-errors.ts";

/**
 * Gives the object of a photo these tags of ours, and takes others of ours away; null: takes all of ours away. Of a
 * photo with a version id that version gets them. Of one with an etag the object does while it has that etag, and where
 * its bucket keeps versions then that version. Setting the same again writes nothing.
 *
 * @throws {PhotoError} ACCESS_DENIED.
 * @throws {UpstreamError} STORE_UNAVAILABLE.
 */
export async function setTags(
  s3: S3Client,
  photo: PhotoRef,
  tags: PhotoTags | null,
  timeoutMs: number,
): Promise<Tagged> {
  const { store, bucket: Bucket, key: Key, version } = photo;
  if (store !== "s3" || isAnyBytes(version)) return { became: "unknown" };
  const abort = { abortSignal: AbortSignal.timeout(timeoutMs) };
  const head = (): Promise<{ etag: string; VersionId?: string }> =>
    s3.send(new HeadObjectCommand({ Bucket, Key }), abort).then(({ ETag, VersionId }) => ({
      etag: versionOf(undefined, ETag),
      ...(VersionId && VersionId !== "null" && { VersionId }),
    }));
  try {
    if (etagOf(version) === undefined)
      return await write(s3, { Bucket, Key, VersionId: version }, tags, abort);
    const before = await head();
    if (before.etag !== version) {
      return before.VersionId ? { became: "gone" } : { became: "overtaken", version: before.etag };
    }
    if (before.VersionId) {
      const written = await write(s3, { Bucket, Key, VersionId: before.VersionId }, tags, abort);
      return written.became === "tagged" ? { became: "tagged", version: before.VersionId } : written;
    }
    const written = await write(s3, { Bucket, Key }, tags, abort);
    const after = await head();
    return after.etag === version ? written : { became: "overtaken", version: after.etag };
  } catch (thrown) {
    const error = abort.abortSignal.aborted
      ? unavailable(photo, `no complete answer within ${timeoutMs} ms`, thrown)
      : toHeadError(photo, thrown);
    if (error instanceof PhotoError && error.code === "GONE") return { became: "gone" };
    throw error;
  }
}

async function write(
  s3: S3Client,
  object: { Bucket: string; Key: string; VersionId?: string },
  tags: PhotoTags | null,
  abort: { abortSignal: AbortSignal },
): Promise<Tagged> {
  const { TagSet: present = [] } = await s3.send(new GetObjectTaggingCommand(object), abort);
  const others = present.filter(({ Key }) => !Key?.startsWith(PREFIX));
  if (tags !== null && others.length >= MOST_TAGS) return { became: "full" };
  const ours = Object.entries(tags ?? {})
    // with nine of others there is room for the verdict alone
    .slice(0, MOST_TAGS - others.length)
    .map(([Key, value]) => ({
      Key,
      Value: value.replaceAll(/[^\p{L}\p{N} +\-=._:/@]/gu, "_").slice(0, 256),
    }));
  const wanted = [...others, ...ours];
  const asText = (set: { Key?: string | undefined; Value?: string | undefined }[]): string =>
    JSON.stringify(set.map(({ Key, Value }) => [Key, Value]).sort());
  if (asText(wanted) === asText(present)) return { became: "tagged" };
  if (wanted.length === 0) await s3.send(new DeleteObjectTaggingCommand(object), abort);
  else {
    const Tagging = { TagSet: wanted.map(({ Key = "", Value = "" }) => ({ Key, Value })) };
    await s3.send(new PutObjectTaggingCommand({ ...object, Tagging }), abort);
  }
  return { became: "tagged" };
}

const PREFIX = "maitred-";
/** Of an object, says S3. */
const MOST_TAGS = 10;
