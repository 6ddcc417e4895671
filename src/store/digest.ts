/**
 * The first 8 bytes of a digest as a number, in SQL: what the index of digests holds. Whoever looks there compares the
 * digest as well, because others begin with the same bytes: one pair in half a billion by chance, and as many as somebody
 * cares to make.
 *
 * @param digest an expression of type bytea.
 */
export function digestPrefix(digest: string): string {
  return `(('x' || encode(substr(${digest}, 1, 8), 'hex'))::bit(64)::bigint)`;
}
