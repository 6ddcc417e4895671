import {
  DeleteObjectTaggingCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandInput,
  PutObjectTaggingCommand,
  type S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import type { PhotoTags, Tagged } from "../deliver/object-tags.ts";
import { each } from "../each.ts";
import { codeOf } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { etagOf, isAnyBytes, versionOf } from "../version.ts";
import { unavailable } from "./fetch.ts";
import { statusOf, toHeadError } from "./s3-errors.ts";
import { decoderOf } from "./s3-listing.ts";

/**
 * Gives the object of a photo tags of ours, and takes others of ours away. Of a photo with a version id that version gets
 * them. Of one with an etag the object does while it has that etag, and where its bucket keeps versions then each version
 * that has it, as each may be read by its id. Setting the same again writes nothing.
 *
 * @param tagsFor what a version id, or the photo's own version, is to have; null: none of ours. It may be asked while others are written.
 * @throws {PhotoError} ACCESS_DENIED.
 * @throws {UpstreamError} STORE_UNAVAILABLE, also where there are more versions than can be looked at in time.
 */
export async function setTags(
  s3: S3Client,
  photo: PhotoRef,
  tagsFor: (version: string) => Promise<PhotoTags | null>,
  timeoutMs: number,
): Promise<Tagged> {
  const { store, bucket: Bucket, key: Key, version } = photo;
  if (store !== "s3" || isAnyBytes(version)) return { became: "unknown" };
  const abort = { abortSignal: AbortSignal.timeout(timeoutMs) };

  async function tag(VersionId?: string): Promise<Tagged> {
    const object = { Bucket, Key, ...(VersionId && { VersionId }) };
    try {
      const written = await write(s3, object, await tagsFor(VersionId ?? version), abort);
      if (VersionId && VersionId !== NO_ID) return written;
      // an upload may have taken its place since it was looked at
      const after = await head(s3, object, abort);
      return after.etag === version ? written : { became: "overtaken", version: after.etag };
    } catch (thrown) {
      if (codeOf(toHeadError(photo, thrown)) === "GONE") return { became: "gone" };
      throw thrown;
    }
  }

  try {
    if (etagOf(version) === undefined) return await tag(version);
    const now = await head(s3, { Bucket, Key }, abort);
    if (now.versionId === undefined)
      return now.etag === version ? await tag() : { became: "overtaken", version: now.etag };
    const listed = await versionsWith(s3, { Bucket, Key }, version, abort).catch((thrown: unknown) => {
      if (codeOf(toHeadError(photo, thrown)) === "ACCESS_DENIED") return "denied";
      if (LISTS_NONE.has(statusOf(thrown) ?? 0)) return "none";
      throw thrown;
    });
    const current = now.etag === version ? [now.versionId] : [];
    const results: Tagged[] = [];
    const failures: unknown[] = [];
    await each(typeof listed === "string" ? current : listed, VERSIONS_AT_ONCE, (versionId) =>
      // one that fails keeps no other from being hidden
      tag(versionId).then(
        (result) => void results.push(result),
        (failure) => void failures.push(failure),
      ),
    );
    if (failures.length > 0) throw failures[0];
    if (listed === "denied") results.push({ became: "unlisted" });
    // what is to be done about any of them counts more than that others are well
    return (
      results.find(({ became }) => became !== "tagged" && became !== "gone") ??
      results.find(({ became }) => became === "tagged") ?? { became: "gone" }
    );
  } catch (thrown) {
    const error = abort.abortSignal.aborted
      ? unavailable(photo, `no complete answer within ${timeoutMs} ms`, thrown)
      : toHeadError(photo, thrown);
    if (codeOf(error) === "GONE") return { became: "gone" };
    throw error;
  }
}

/** Versions of one object that are tagged at once. */
export const VERSIONS_AT_ONCE = 4;

interface Abort {
  abortSignal: AbortSignal;
}
interface S3Object {
  Bucket: string;
  Key: string;
  VersionId?: string;
}

/** versionId: undefined where its bucket keeps no versions; of an object that is deleted, that of its marker. */
async function head(
  s3: S3Client,
  object: S3Object,
  abort: Abort,
): Promise<{ etag: string; versionId: string | undefined }> {
  try {
    const { ETag, VersionId } = await s3.send(new HeadObjectCommand(object), abort);
    return { etag: versionOf(undefined, ETag), versionId: VersionId };
  } catch (thrown) {
    const headers = thrown instanceof S3ServiceException ? thrown.$response?.headers : undefined;
    if (headers?.["x-amz-delete-marker"] !== "true") throw thrown;
    return { etag: "", versionId: headers["x-amz-version-id"] ?? NO_ID };
  }
}

/** The ids of the versions of one object that have this etag, the latest first. */
async function versionsWith(
  s3: S3Client,
  { Bucket, Key }: S3Object,
  etag: string,
  abort: Abort,
): Promise<string[]> {
  const found: string[] = [];
  let place: Pick<ListObjectVersionsCommandInput, "KeyMarker" | "VersionIdMarker"> = {};
  for (;;) {
    const command = new ListObjectVersionsCommand({ Bucket, Prefix: Key, EncodingType: "url", ...place });
    const page = await s3.send(command, abort);
    const decode = decoderOf(page.EncodingType);
    for (const { Key: key = "", ETag, VersionId } of page.Versions ?? []) {
      if (decode(key) === Key && versionOf(undefined, ETag) === etag) found.push(VersionId ?? NO_ID);
    }
    // of the keys that begin with this one it is the first
    if (!page.IsTruncated || decode(page.NextKeyMarker ?? "") !== Key) return found;
    place = { KeyMarker: Key, VersionIdMarker: page.NextVersionIdMarker };
  }
}

async function write(s3: S3Client, object: S3Object, tags: PhotoTags | null, abort: Abort): Promise<Tagged> {
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
/** S3's id of what was uploaded while the bucket kept no versions: it is overwritten in place when it keeps none again. */
const NO_ID = "null";
/** Statuses of a store that gives version ids and lists none. */
export const LISTS_NONE: ReadonlySet<number> = new Set([405, 501]);
