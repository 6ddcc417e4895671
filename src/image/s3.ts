import type { IncomingMessage } from "node:http";
import { performance } from "node:perf_hooks";
import { Readable } from "node:stream";
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { ReplacedError } from "../errors.ts";
import type { PhotoMetadata, PhotoRef } from "../photo.ts";
import { etagOf, isAnyBytes, versionOf } from "../version.ts";
import { type FetchLimits, type FetchPhoto, tooLarge, unavailable } from "./fetch.ts";
import { toHeadError, toPhotoError } from "./s3-errors.ts";
import { HEAD_BYTES, sniff } from "./sniff.ts";
import { isWhole } from "./whole.ts";

export interface S3Settings {
  /** "" is AWS itself. */
  s3Endpoint: string;
  s3Region: string;
  /** Whether the bucket stands in the path; auto: it does where there is an endpoint. */
  s3PathStyle: "auto" | "on" | "off";
}

/**
 * Credentials come from where the AWS SDK looks: environment, profile, container or instance role.
 *
 * @param connections how many may be open at once.
 * @param attempts tries of a request that no queue tries again.
 * @param answerMs milliseconds that an answer may take to begin, for whoever waits for one by no clock of his own; 0: for ever.
 */
export function connectS3(
  { s3Endpoint, s3Region, s3PathStyle }: S3Settings,
  connections: number,
  attempts = 1,
  answerMs = 0,
): S3Client {
  return new S3Client({
    region: s3Region,
    forcePathStyle: s3PathStyle === "on" || (s3PathStyle === "auto" && s3Endpoint !== ""),
    ...(s3Endpoint && { endpoint: s3Endpoint }),
    // the queue retries, in one place, with backoff; a second layer would only hide that from the counters
    maxAttempts: attempts,
    // S3 gives each object a CRC64NVME, which JavaScript would compute on the main thread for longer than all else of a fetch
    // takes; TLS and the length tell what was damaged on its way
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5_000,
      ...(answerMs > 0 && { requestTimeout: answerMs, throwOnRequestTimeout: true }),
      httpsAgent: { maxSockets: connections, keepAlive: true },
      httpAgent: { maxSockets: connections, keepAlive: true },
    }),
  });
}

/**
 * Reads objects from S3. One that keeps coming may take twice `timeoutMs`. A version
 * `etag:X` must still be the object's etag, any other non-empty version is a version id, except for `generation:X`, of
 * which the object as it is now is read. Metadata `listing`, `uploader` and `claimed` is what the object says of its photo.
 */
export function createS3Fetch(s3: S3Client): FetchPhoto {
  return async (photo, limits) => {
    const abort = new AbortController();
    const quiet = setTimeout(() => abort.abort(), limits.timeoutMs);
    try {
      const command = new GetObjectCommand({ ...address(photo) });
      const answer = await s3.send(command, { abortSignal: abort.signal });
      quiet.refresh();
      const bytes = await collect(answer, photo, limits, abort.signal, () => void quiet.refresh());
      if (!isWhole(bytes)) await checkSize(s3, photo, bytes.length, abort.signal);
      return { bytes, known: knownFrom(answer.Metadata ?? {}) };
    } catch (thrown) {
      throw abort.signal.aborted
        ? unavailable(photo, `nothing came for ${limits.timeoutMs} ms`, thrown)
        : toPhotoError(photo, thrown);
    } finally {
      clearTimeout(quiet);
    }
  };
}

/** In which a store begins to answer, however many delete markers a page of its list goes over, and in which more of an object comes. */
export const ANSWER_MS = 60_000;

/**
 * The bytes of an object that is not a photo, as they come.
 *
 * @param waitMs milliseconds that whoever reads waits for more of them; the stream then ends with STORE_UNAVAILABLE.
 * @throws as FetchPhoto does.
 */
export async function openObject(
  s3: S3Client,
  bucket: string,
  key: string,
  waitMs = ANSWER_MS,
): Promise<Readable> {
  const photo: PhotoRef = { store: "s3", bucket, key, version: "" };
  const answer = await s3
    .send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    .catch((thrown: unknown) => {
      throw toHeadError(photo, thrown);
    });
  const body = answer.Body as IncomingMessage;
  try {
    checkEnd(photo, body, answer);
  } catch (error) {
    body.destroy();
    throw error;
  }
  const late = (): void => void body.destroy(unavailable(photo, `no more of it came within ${waitMs} ms`));
  // one that nobody has begun to read closes nothing by itself
  return Readable.from(promptly(body, waitMs, late), { objectMode: false }).once("close", () =>
    body.destroy(),
  );
}

/** What comes, and `late` where more is asked for and none comes in time. What whoever reads does meanwhile is no wait. */
async function* promptly(bytes: Readable, waitMs: number, late: () => void): AsyncGenerator<Uint8Array> {
  let timer = setTimeout(late, waitMs);
  try {
    for await (const chunk of bytes) {
      clearTimeout(timer);
      yield chunk as Uint8Array;
      timer = setTimeout(late, waitMs);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** As requests name an object, of the version that was queued. */
export function address({ bucket, key, version }: PhotoRef): {
  Bucket: string;
  Key: string;
  IfMatch?: string;
  VersionId?: string;
} {
  // the S3 protocol cannot ask for a generation; a newer one supersedes the photo as soon as it is known
  if (isAnyBytes(version)) return { Bucket: bucket, Key: key };
  const etag = etagOf(version);
  return {
    Bucket: bucket,
    Key: key,
    ...(etag === undefined ? { VersionId: version } : { IfMatch: `"${etag}"` }),
  };
}

async function collect(
  answer: GetObjectCommandOutput,
  photo: PhotoRef,
  { maxBytes, timeoutMs }: FetchLimits,
  abort: AbortSignal,
  came: () => void,
): Promise<Uint8Array> {
  const { ContentLength: length } = answer;
  const body = answer.Body as IncomingMessage;
  const onAbort = (): void => void body.destroy(new Error("timed out"));
  abort.addEventListener("abort", onAbort, { once: true });
  try {
    checkTag(photo, answer.ETag);
    checkEnd(photo, body, answer);
    if (length !== undefined && length > maxBytes) throw tooLarge(length, maxBytes);
    const mostMs = 2 * timeoutMs;
    const since = performance.now();
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      came();
      size += chunk.length;
      // hundreds of photos share a network, so that all of them may be slow; but none may outlast the drain of a worker that ends
      if (performance.now() - since > mostMs)
        throw unavailable(photo, `${size} bytes came within ${Math.round(mostMs)} ms`);
      if (size > maxBytes) throw tooLarge(size, maxBytes);
      // a video is not fetched to its end, and held, to be refused
      if (chunks.length === 0 && size >= HEAD_BYTES) sniff(chunk, false);
      chunks.push(chunk);
    }
    if (length !== undefined && size !== length) throw unavailable(photo, `${size} of ${length} bytes came`);
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
  } finally {
    abort.removeEventListener("abort", onAbort);
    body.destroy();
  }
}

/**
 * That the store has no more of an object that lacks its end: a proxy may have kept part of an answer, and give it for all. Part of a
 * photo is judged where browsers show as much.
 */
async function checkSize(
  s3: S3Client,
  photo: PhotoRef,
  size: number,
  abortSignal: AbortSignal,
): Promise<void> {
  // an address that nobody else asks for, so that the proxy does not answer of what it kept
  const command = new HeadObjectCommand({ ...address(photo), ResponseCacheControl: "no-store" });
  const { ContentLength: length } = await s3.send(command, { abortSignal });
  if (length === undefined)
    throw unavailable(photo, "a photo without its end, and HEAD tells no length: check what it came through");
  if (size !== length)
    throw unavailable(
      photo,
      `${size} of ${length} bytes came, in an answer that tells of no more: check what it came through`,
    );
}

/** That the answer is the whole object, and says where it ends: else it would end wherever its connection does. */
function checkEnd(
  photo: PhotoRef,
  { headers }: IncomingMessage,
  { ContentLength: length, $metadata: { httpStatusCode: status } }: GetObjectCommandOutput,
): void {
  if (status !== 200)
    throw unavailable(photo, `${status}, which is no whole object: check what it came through`);
  if (length === undefined && !/\bchunked\s*$/i.test(headers["transfer-encoding"] ?? ""))
    throw unavailable(
      photo,
      "an answer without Content-Length, which is none of S3: check what it came through",
    );
}

/** That it is S3 which answers, and with the object that was asked for: not every server knows If-Match. */
function checkTag(photo: PhotoRef, tag: string | undefined): void {
  if (!tag)
    throw unavailable(photo, "an answer without ETag, which is none of S3: check MAITRED_S3_ENDPOINT");
  if (etagOf(photo.version) !== undefined && versionOf(undefined, tag) !== photo.version)
    throw new ReplacedError(`${photo.bucket}/${photo.key}: it was replaced`);
}

function knownFrom(metadata: Record<string, string>): PhotoMetadata {
  const { listing, uploader, claimed } = metadata;
  return {
    ...(listing && { listing }),
    ...((uploader === "moderator" || uploader === "user") && { uploader }),
    ...(claimed && { claimed }),
  };
}
