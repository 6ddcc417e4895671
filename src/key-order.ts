/**
 * Compares keys as S3 lists them and Postgres orders them under the collation "C": by the bytes of their UTF-8. JavaScript
 * compares UTF-16, in which an emoji comes before some letters that are less than it.
 */
export function compareKeys(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/**
 * Postgres holds no zero character. Of the keys that it can hold, those up to this one are the same as those up to the
 * whole key.
 */
export function storableKey(key: string): string {
  return key.split("\0")[0]!;
}
