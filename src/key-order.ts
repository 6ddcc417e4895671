/**
 * Compares keys as S3 lists them and Postgres orders them under the collation "C": by the bytes of their UTF-8. JavaScript
 * compares UTF-16, in which an emoji comes before some letters that are less than it.
 */
export function compareKeys(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
