import { UsageError } from "./command.ts";

/**
 * The bucket, and a key or a prefix that is "" or ends in a slash; undefined: it is a path.
 *
 * @throws {UsageError} where a bucket is all there is: whoever meant something in it would get the whole of it.
 */
export function bucketUrl(text: string): { bucket: string; key: string } | undefined {
  const [, bucket, slash, key] = /^s3:\/\/([^/]+)(\/?)(.*)$/s.exec(text) ?? [];
  if (bucket === undefined) return undefined;
  if (slash) return { bucket, key: key! };
  throw new UsageError(
    `expected s3://${bucket}/ for the whole bucket, or s3://${bucket}/prefix/, got ${text}`,
  );
}

/** Whether everything below it is meant. */
export function isPrefix(key: string): boolean {
  return key === "" || key.endsWith("/");
}
