/**
 * How long to wait after an attempt that failed: it doubles from `baseMs` up to twelve hours, give or take a fifth, so
 * that what failed together does not come again together.
 *
 * @param attempt counted from 1.
 * @param random 0 to 1.
 */
export function waitMs(attempt: number, baseMs: number, random: number): number {
  return Math.min(baseMs * 2 ** Math.min(attempt - 1, 40), LONGEST_MS) * (0.8 + 0.4 * random);
}

/**
 * Milliseconds that a header Retry-After asks for, in seconds or as a date, at most a day; undefined where it says neither.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), DAY_MS);
}

const DAY_MS = 86_400_000;
const LONGEST_MS = DAY_MS / 2;
