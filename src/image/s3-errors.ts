import { asError, BusyError, ModerationError, PhotoError, ReplacedError } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { unavailable } from "./fetch.ts";

/**
 * S3's many names for few cases. What the operator may mend (credentials, bucket, endpoint, region) is retried; what is
 * said of the object is final.
 */
export function toPhotoError(photo: PhotoRef, thrown: unknown): Error {
  const error = asError(thrown);
  if (error instanceof ModerationError) return error;
  const status = statusOf(thrown);
  const where = `${photo.bucket}/${photo.key}`;
  const check = MENDED_BY[error.name];
  if (check) return unavailable(photo, `${error.name}: check ${check}`, error);
  if (ABSENT.has(error.name) || isNoVersion(status, error))
    return new PhotoError("GONE", `${where}: ${error.name}`, { cause: error });
  if (status === 412) return new ReplacedError(`${where}: it was replaced`, { cause: error });
  // a server that knows no such path may be none of S3
  if (status === 404) return unavailable(photo, `${error.name}: check MAITRED_S3_ENDPOINT`, error);
  // S3 says why; what says nothing may be a proxy or a firewall, which refuses all alike
  const nameless = status !== undefined && NAMELESS.has(error.name);
  if (status === 403 && !nameless) return denied(photo, error);
  if (isKeyed(status, error))
    return denied(photo, error, `${error.name}: only with a key of its owner (SSE-C)`);
  const why = nameless
    ? `${status}, without a reason of S3: check what stands in front of it`
    : `${error.name}: ${error.message}`;
  return BUSY.has(status)
    ? new BusyError(`${where}: ${why}`, { cause: error })
    : unavailable(photo, why, error);
}

/**
 * As `toPhotoError`, where no verdict hangs on it: GONE is whatever is not there, be it the bucket, and ACCESS_DENIED whatever is
 * refused, as the answer to a HEAD has no body that tells, and whoever named a bucket is told at once.
 */
export function toHeadError(photo: PhotoRef, thrown: unknown): Error {
  const status = statusOf(thrown);
  if (status === 403 && NAMELESS.has(asError(thrown).name)) return denied(photo, asError(thrown));
  if (status !== 404) return toPhotoError(photo, thrown);
  const { name } = asError(thrown);
  return new PhotoError("GONE", `${photo.bucket}/${photo.key}: ${name}`, { cause: thrown });
}

/** Whether the store gives the object only to who has its key (SSE-C), as S3 and Ceph say it, or Cloud Storage. */
function isKeyed(status: number | undefined, { name, message }: Error): boolean {
  return (
    status === 400 &&
    (/stored using a form of server side encryption|customer provided keys/i.test(message) ||
      name === "ResourceIsEncryptedWithCustomerEncryptionKey")
  );
}

/** Whether the store has no versions of such a name. */
function isNoVersion(status: number | undefined, { name, message }: Error): boolean {
  return status === 400 && name === "InvalidArgument" && /invalid version id/i.test(message);
}

function denied({ bucket, key }: PhotoRef, error: Error, why = error.name): PhotoError {
  return new PhotoError("ACCESS_DENIED", `${bucket}/${key}: ${why}`, { cause: error });
}

export function statusOf(thrown: unknown): number | undefined {
  return (thrown as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

/** What to check, by the error's name: none of them is about the object. */
const MENDED_BY: Record<string, string> = {
  ...Object.fromEntries(
    [
      "CredentialsProviderError",
      "ExpiredToken",
      "ExpiredTokenException",
      "InvalidAccessKeyId",
      "InvalidToken",
      "SignatureDoesNotMatch",
    ].map((name) => [name, "the credentials"]),
  ),
  RequestTimeTooSkewed: "the clock",
  NoSuchBucket: "the bucket and MAITRED_S3_ENDPOINT",
  PermanentRedirect: "MAITRED_S3_REGION",
  AuthorizationHeaderMalformed: "MAITRED_S3_REGION",
};
/** S3's SlowDown and ServiceUnavailable, and what others answer with in their place. */
const BUSY: ReadonlySet<number | undefined> = new Set([429, 503]);
const ABSENT = new Set(["NoSuchKey", "NoSuchVersion"]);
/** What the SDK calls an answer without a body of S3, and one whose body is not XML. */
const NAMELESS = new Set(["Unknown", "Error"]);
