/** The last id that a statement looks at which begins after `after`; at most `upTo`. */
export function rangeEnd(after: string, upTo: string): string {
  const to = BigInt(after || "0") + STRETCH;
  const last = BigInt(upTo);
  return (to < last ? to : last).toString();
}

/** Where the next statement begins: behind the last row where there may be more, else at the end of the stretch. */
export function nextAfter(
  found: readonly { id: string }[],
  limit: number,
  to: string,
  upTo: string,
): { after: string; end: boolean } {
  const after = found.length < limit ? to : found.at(-1)!.id;
  return { after, end: BigInt(after) >= BigInt(upTo) };
}

/** Ids that one statement looks at: some tens of milliseconds' worth of rows. */
const STRETCH = 50_000n;
