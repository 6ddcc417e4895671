import type { Readable } from "node:stream";
import {
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  ListObjectVersionsCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { ConfigError, codeOf, PhotoError } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { isStorable } from "../text.ts";
import { versionOf } from "../version.ts";
import { unavailable } from "./fetch.ts";
import { ANSWER_MS, address } from "./s3.ts";
import { statusOf, toHeadError, toPhotoError } from "./s3-errors.ts";
import { decoderOf } from "./s3-listing.ts";
import { LISTS_NONE } from "./tags.ts";

/** The objects under a prefix, a page of at most 1,000 at a time, in the order of their keys. @param waitMs as of `listAfter`. */
export async function* listObjects(
  s3: S3Client,
  bucket: string,
  prefix: string,
  waitMs = ANSWER_MS,
): AsyncGenerator<PhotoRef[]> {
  let token: string | undefined;
  do {
    const page = await listPage(s3, bucket, prefix, { ...(token && { ContinuationToken: token }) }, waitMs);
    yield asPhotos(bucket, page.Contents ?? []);
    token = page.NextContinuationToken;
  } while (token);
}

/**
 * The objects below a prefix whose keys come after `after`, at most `limit`, in the order of their keys.
 *
 * @param waitMs milliseconds in which the store begins to answer; twice that for a whole page.
 */
export async function listAfter(
  s3: S3Client,
  bucket: string,
  prefix: string,
  after: string,
  limit: number,
  waitMs = ANSWER_MS,
): Promise<{ found: PhotoRef[]; bytes: number; after: string; end: boolean }> {
  let page = await listPage(
    s3,
    bucket,
    prefix,
    { MaxKeys: limit, ...(after && { StartAfter: after }) },
    waitMs,
  );
  // a page may be empty and yet not be the last
  while (page.NextContinuationToken && !page.Contents?.length)
    page = await listPage(
      s3,
      bucket,
      prefix,
      { MaxKeys: limit, ContinuationToken: page.NextContinuationToken },
      waitMs,
    );
  const objects = page.Contents ?? [];
  const bytes = objects.reduce((sum, { Size = 0 }) => sum + Size, 0);
  return {
    found: asPhotos(bucket, objects),
    bytes,
    after: objects.at(-1)?.Key ?? after,
    end: !page.IsTruncated,
  };
}

/**
 * Does what a worker does, on one photo of a bucket: lists it and reads a byte of it.
 *
 * @param tagged whether its photos get tags, for which the versions that it keeps are listed too.
 * @param waitMs as of `listAfter`.
 * @throws as FetchPhoto does. {ConfigError} where it is these alone that may not be listed.
 */
export async function probeBucket(
  s3: S3Client,
  bucket: string,
  tagged: boolean,
  waitMs: number,
): Promise<string> {
  for await (const page of listObjects(s3, bucket, "", waitMs)) {
    const photo = page[0];
    if (!photo) continue;
    const answer = await s3
      .send(new GetObjectCommand({ ...address(photo), Range: "bytes=0-0" }))
      .catch((thrown) => {
        throw toPhotoError(photo, thrown);
      });
    (answer.Body as Readable).destroy();
    if (tagged && answer.VersionId !== undefined) await probeVersions(s3, photo, waitMs);
    return "can be listed and read";
  }
  return "can be listed, and is empty";
}

async function probeVersions(s3: S3Client, photo: PhotoRef, waitMs: number): Promise<void> {
  try {
    const command = new ListObjectVersionsCommand({ Bucket: photo.bucket, Prefix: photo.key, MaxKeys: 1 });
    await s3.send(command, { abortSignal: AbortSignal.timeout(2 * waitMs) });
  } catch (thrown) {
    if (LISTS_NONE.has(statusOf(thrown) ?? 0)) return;
    const error = toHeadError(photo, thrown);
    if (codeOf(error) !== "ACCESS_DENIED") throw error;
    const message = "its versions may not be listed, and older ones with the same bytes may keep other tags";
    throw new ConfigError(`${message}: allow s3:ListBucketVersions to maitred deliver`, { cause: error });
  }
}

/** Whether the store says that there is no such bucket; where it does not let us ask, nobody knows. */
export async function isAbsent(s3: S3Client, bucket: string): Promise<boolean> {
  try {
    await s3.send(new HeadBucketCommand({ Bucket: bucket }));
    return false;
  } catch (thrown) {
    const error = toHeadError({ store: "s3", bucket, key: "", version: "" }, thrown);
    if (error instanceof PhotoError) return error.code === "GONE";
    throw error;
  }
}

/** Bytes of an object; undefined where it is absent, or refused. @throws {UpstreamError} STORE_UNAVAILABLE. */
export async function objectSize(s3: S3Client, photo: PhotoRef): Promise<number | undefined> {
  try {
    return (await s3.send(new HeadObjectCommand(address(photo)))).ContentLength;
  } catch (thrown) {
    const error = toHeadError(photo, thrown);
    if (error instanceof PhotoError) return undefined;
    throw error;
  }
}

async function listPage(
  s3: S3Client,
  bucket: string,
  prefix: string,
  from: Pick<ListObjectsV2CommandInput, "MaxKeys" | "StartAfter" | "ContinuationToken">,
  waitMs = ANSWER_MS,
): Promise<ListObjectsV2CommandOutput> {
  const photo: PhotoRef = { store: "s3", bucket, key: prefix, version: "" };
  const request = { Bucket: bucket, Prefix: prefix, EncodingType: "url" as const, ...from };
  // a client's own limit ends with the first bytes of an answer
  const abortSignal = AbortSignal.timeout(2 * waitMs);
  const page = await s3.send(new ListObjectsV2Command(request), { abortSignal }).catch((thrown: unknown) => {
    throw abortSignal.aborted
      ? unavailable(photo, `no whole page of its list came within ${2 * waitMs} ms`, thrown)
      : toHeadError(photo, thrown);
  });
  const decode = decoderOf(page.EncodingType);
  return {
    ...page,
    Contents: (page.Contents ?? []).map((each) => ({ ...each, Key: decode(each.Key ?? "") })),
  };
}

/** Folders' markers are no photos; and what Postgres cannot keep would end the page that it is on. */
function asPhotos(
  bucket: string,
  objects: readonly { Key?: string | undefined; ETag?: string | undefined }[],
): PhotoRef[] {
  return objects
    .filter(({ Key }) => Key && !Key.endsWith("/") && isStorable(Key))
    .map(({ Key, ETag }) => ({
      store: "s3",
      bucket,
      key: Key!,
      version: versionOf(undefined, ETag),
    }));
}
