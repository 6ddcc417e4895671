/** Milliseconds. */
export interface Times {
  p50Ms: number;
  p95Ms: number;
  maxMs: number;
}

export function timesOf(ms: readonly number[]): Times {
  return { p50Ms: quantile(ms, 0.5), p95Ms: quantile(ms, 0.95), maxMs: quantile(ms, 1) };
}

/** The least of the values that this share of them does not exceed; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/**
 * Milliseconds of each of `runs` calls, one after the other.
 *
 * @param then what is to be undone before the next, in its own time.
 */
export async function timed<T>(
  runs: number,
  work: (run: number) => Promise<T>,
  then: (answer: T) => Promise<unknown> = async () => {},
): Promise<number[]> {
  const ms: number[] = [];
  for (let run = 0; run < runs; run++) {
    const from = performance.now();
    const answer = await work(run);
    ms.push(performance.now() - from);
    await then(answer);
  }
  return ms;
}
