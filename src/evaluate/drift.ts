import type { Drift } from "../http/desk/dashboard-deps.ts";

/** Scores of one kind, counted by day and by twentieth of 0 to 1. */
export interface ScoreCount {
  /** As 2026-01-31. */
  day: string;
  /** `human`, or the category that was the most probable. */
  score: string;
  /** 0 to 19. */
  bucket: number;
  photos: number;
}

/** How each score is distributed since the day `from`, and before it; `human` comes first. */
export function drift(counts: readonly ScoreCount[], from: string): Drift[] {
  const scores = [...new Set(counts.map(({ score }) => score))].sort(
    (a, b) => Number(b === "human") - Number(a === "human") || a.localeCompare(b),
  );
  return scores.map((score) => {
    const rows = counts.filter((each) => each.score === score);
    const now = spread(rows.filter(({ day }) => day >= from));
    const before = spread(rows.filter(({ day }) => day < from));
    return { score, now, before, psi: stabilityIndex(now, before), days: means(rows, from) };
  });
}

/**
 * The population stability index: the sum over buckets of (p - q) ln(p / q). By custom less than 0.1 is no change, and more
 * than 0.25 one that somebody should look into. Half a photo is added to each bucket, so that an empty one counts too.
 */
export function stabilityIndex(now: readonly number[], before: readonly number[]): number | null {
  const [nowAll, beforeAll] = [total(now), total(before)];
  if (Math.min(nowAll, beforeAll) < ENOUGH) return null;
  let index = 0;
  for (const [bucket, photos] of now.entries()) {
    const p = (photos + 0.5) / (nowAll + now.length / 2);
    const q = (before[bucket]! + 0.5) / (beforeAll + before.length / 2);
    index += (p - q) * Math.log(p / q);
  }
  return index;
}

function spread(rows: readonly ScoreCount[]): number[] {
  const buckets = Array<number>(BUCKETS).fill(0);
  for (const { bucket, photos } of rows) buckets[bucket]! += photos;
  return buckets;
}

function means(rows: readonly ScoreCount[], from: string): Drift["days"] {
  const days = [...new Set(rows.map(({ day }) => day))].filter((day) => day >= from).sort();
  return days.flatMap((day) => {
    const buckets = spread(rows.filter((row) => row.day === day));
    const photos = total(buckets);
    if (photos <= 0) return [];
    const weighed = buckets.reduce((sum, count, bucket) => sum + count * ((bucket + 0.5) / BUCKETS), 0);
    return [{ day, mean: weighed / photos, photos }];
  });
}

function total(buckets: readonly number[]): number {
  return buckets.reduce((sum, photos) => sum + photos, 0);
}

const BUCKETS = 20;
const ENOUGH = 100;
