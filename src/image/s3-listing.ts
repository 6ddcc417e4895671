import {
  GetBucketVersioningCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { asError, ConfigError, PhotoError, UpstreamError } from "../errors.ts";
import type { ListedObject } from "../intake/reconcile-range.ts";
import type { ListedPage } from "../intake/sweep.ts";
import { compareKeys } from "../key-order.ts";
import { decodeForm } from "../text.ts";
import { statusOf } from "./s3-errors.ts";

export interface Listing {
  prefix: string;
  /** Only keys behind this one; "": all. */
  after: string;
  /** Asks for the versions, of which only the current one of each object is given. */
  versions: boolean;
  /** At most 1,000. */
  pageSize: number;
}

/** How a bucket is asked. */
export interface Asking {
  s3: S3Client;
  bucket: string;
  /** Resolves when the next request may be sent. */
  turn(): Promise<void>;
  /** Ends what is being asked. */
  signal: AbortSignal;
}

/** Whether the bucket keeps, or kept, versions. A store that knows no versions has none. */
export async function keepsVersions(asking: Asking): Promise<boolean> {
  const { s3, bucket } = asking;
  try {
    const command = new GetBucketVersioningCommand({ Bucket: bucket });
    const { Status } = await within(asking, (options) => s3.send(command, options));
    return Status !== undefined;
  } catch (thrown) {
    if (statusOf(thrown) === 501 || statusOf(thrown) === 405) return false;
    throw named(bucket, "s3:GetBucketVersioning", thrown);
  }
}

/**
 * The listing of a bucket, page by page; the last page has no `upTo`. Folders' markers are given like any object.
 *
 * @throws {ConfigError}: there is no such bucket. {PhotoError} ACCESS_DENIED.
 * @throws {UpstreamError} STORE_UNAVAILABLE; what was given before stays true.
 */
export async function* listPages(asking: Asking, listing: Listing): AsyncGenerator<ListedPage> {
  const ask = listing.versions ? askVersions : askObjects;
  const right = listing.versions ? "s3:ListBucketVersions" : "s3:ListBucket";
  let next: Place | undefined = { after: listing.after };
  while (next) {
    const answer: Answer = await ask(asking, listing, next).catch((thrown: unknown) => {
      throw named(asking.bucket, right, thrown);
    });
    next = answer.next;
    const upTo = next && (answer.upTo ?? answer.objects.at(-1)?.key);
    // a page may be empty and yet not be the last
    if (!next || upTo !== undefined) yield { objects: answer.objects, upTo };
  }
}

/**
 * The object as it is now.
 *
 * @returns absent where the store has no such key, or no such bucket, which it does not tell apart here; refused where
 *   it does not say.
 * @throws {UpstreamError} STORE_UNAVAILABLE.
 */
export async function headObject(asking: Asking, key: string): Promise<ListedObject | "absent" | "refused"> {
  const { s3, bucket } = asking;
  try {
    const command = new HeadObjectCommand({ Bucket: bucket, Key: key });
    const head = await within(asking, (options) => s3.send(command, options));
    return {
      key,
      etag: head.ETag,
      versionId: head.VersionId,
      modifiedAt: head.LastModified ?? new Date(),
    };
  } catch (thrown) {
    if (statusOf(thrown) === 404) return "absent";
    if (statusOf(thrown) === 403) return "refused";
    throw named(bucket, "s3:GetObject", thrown);
  }
}

/** @throws as `listPages` does, unless the bucket is there. */
export async function requireBucket(asking: Asking): Promise<void> {
  const { s3, bucket } = asking;
  const command = new HeadBucketCommand({ Bucket: bucket });
  await within(asking, (options) => s3.send(command, options)).catch((thrown: unknown) => {
    throw named(bucket, "s3:ListBucket", thrown);
  });
}

/** Where a listing goes on: behind a key, or where the store said. */
type Place = { after: string } | { token: string } | { key: string; version: string | undefined };

interface Answer {
  objects: ListedObject[];
  upTo?: string;
  next: Place | undefined;
}

async function askObjects(asking: Asking, { prefix, pageSize }: Listing, place: Place): Promise<Answer> {
  const { s3, bucket } = asking;
  const command = new ListObjectsV2Command({
    Bucket: bucket,
    Prefix: prefix,
    MaxKeys: pageSize,
    EncodingType: "url",
    ...("after" in place && place.after && { StartAfter: place.after }),
    ...("token" in place && { ContinuationToken: place.token }),
  });
  const page = await within(asking, (options) => s3.send(command, options));
  const decode = decoderOf(page.EncodingType);
  const objects = (page.Contents ?? []).flatMap(({ Key, ETag, LastModified }) =>
    Key
      ? [{ key: decode(Key), etag: ETag, versionId: undefined, modifiedAt: LastModified ?? new Date() }]
      : [],
  );
  return { objects, next: page.NextContinuationToken ? { token: page.NextContinuationToken } : undefined };
}

async function askVersions(asking: Asking, { prefix, pageSize }: Listing, place: Place): Promise<Answer> {
  const { s3, bucket } = asking;
  const command = new ListObjectVersionsCommand({
    Bucket: bucket,
    Prefix: prefix,
    MaxKeys: pageSize,
    EncodingType: "url",
    ...("after" in place && place.after && { KeyMarker: place.after }),
    ...("key" in place && {
      KeyMarker: place.key,
      ...(place.version && { VersionIdMarker: place.version }),
    }),
  });
  const page = await within(asking, (options) => s3.send(command, options));
  const decode = decoderOf(page.EncodingType);
  // where the latest is a marker, the object is not there
  const objects = (page.Versions ?? []).flatMap(({ Key, ETag, VersionId, IsLatest, LastModified }) =>
    Key && IsLatest
      ? [{ key: decode(Key), etag: ETag, versionId: VersionId, modifiedAt: LastModified ?? new Date() }]
      : [],
  );
  if (!page.IsTruncated || !page.NextKeyMarker) return { objects, next: undefined };
  // the next page may begin with older versions of this key, whose latest was here; stores differ in what their
  // NextKeyMarker names, so it is not taken for this
  const last = [page.Versions?.at(-1)?.Key, page.DeleteMarkers?.at(-1)?.Key]
    .flatMap((key) => (key ? [decode(key)] : []))
    .sort(compareKeys)
    .at(-1);
  return {
    objects,
    ...(last !== undefined && { upTo: last }),
    next: { key: decode(page.NextKeyMarker), version: page.NextVersionIdMarker },
  };
}

/** As in an HTML form, so that XML can carry it; a store that ignores the wish sends it as it is. */
export function decoderOf(encoding: string | undefined): (key: string) => string {
  return encoding === "url" ? decodeForm : (key) => key;
}

/** Sends one request when it is its turn, and ends it when it takes too long or nobody waits for it any more. */
async function within<T>(
  { turn, signal }: Asking,
  send: (options: { abortSignal: AbortSignal }) => Promise<T>,
): Promise<T> {
  await turn();
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  const timer = setTimeout(stop, TIMEOUT_MS);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await send({ abortSignal: abort.signal });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function named(bucket: string, right: string, thrown: unknown): Error {
  const error = asError(thrown);
  const status = statusOf(thrown);
  if (status === 404) {
    return new ConfigError(
      `there is no bucket ${bucket} (${error.name}): nothing is withdrawn for that; check its name and MAITRED_S3_ENDPOINT`,
      { cause: error },
    );
  }
  if (status === 403) {
    return new PhotoError("ACCESS_DENIED", `${bucket}: ${error.name}: is ${right} allowed?`, {
      cause: error,
    });
  }
  return new UpstreamError("STORE_UNAVAILABLE", `${bucket}: ${error.name}: ${error.message}`, {
    cause: error,
  });
}

const TIMEOUT_MS = 60_000;
