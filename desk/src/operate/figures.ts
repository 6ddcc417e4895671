import type { Operating, WorkerFigures } from "../types.ts";
import { number } from "../words.ts";

/** What workers did within about the last minute, together; rates are photos a second. */
interface Throughput {
  live: number;
  backfill: number;
  /** Photos that could not be judged, of those that left the line. */
  failed: number;
  left: number;
  retried: number;
}

export function throughput(workers: Operating["workers"]): Throughput {
  const sum = { live: 0, backfill: 0, failed: 0, left: 0, retried: 0 };
  for (const { figures } of workers) {
    if (!figures || figures.seconds <= 0) continue;
    const { judged, failed, retried, seconds } = figures;
    sum.live += (judged["live"] ?? 0) / seconds;
    sum.backfill += (judged["backfill"] ?? 0) / seconds;
    sum.failed += failed;
    sum.retried += retried;
    sum.left += (judged["live"] ?? 0) + (judged["backfill"] ?? 0) + failed;
  }
  return sum;
}

/** The share that failed; of so few that a share misleads, how many of how many. */
export function failedOf({ failed, left }: Pick<Throughput, "failed" | "left">): string {
  if (left === 0) return "–";
  return left < FEWEST_FOR_SHARE ? `${failed} of ${left}` : `${((failed / left) * 100).toFixed(1)} %`;
}

/** Photos a second of one worker. */
export function rateOf({ judged, seconds }: WorkerFigures): number {
  return seconds > 0 ? ((judged["live"] ?? 0) + (judged["backfill"] ?? 0)) / seconds : 0;
}

/** The mean time of a photo in each stage, in milliseconds, in the order that it goes through them. */
export function stageTimes(workers: Operating["workers"]): { stage: string; ms: number; photos: number }[] {
  return STAGES.flatMap((stage) => {
    let [photos, seconds] = [0, 0];
    for (const { figures } of workers) {
      photos += figures?.stages[stage]?.photos ?? 0;
      seconds += figures?.stages[stage]?.seconds ?? 0;
    }
    return photos > 0 ? [{ stage, ms: (seconds / photos) * 1_000, photos }] : [];
  });
}

/** Model runs by the number of their photos, smallest first. */
export function batchSizes(workers: Operating["workers"]): { size: number; runs: number }[] {
  const runs = new Map<number, number>();
  for (const { figures } of workers) {
    for (const [size, count] of Object.entries(figures?.batches ?? {})) {
      runs.set(Number(size), (runs.get(Number(size)) ?? 0) + count);
    }
  }
  return [...runs].sort(([a], [b]) => a - b).map(([size, count]) => ({ size, runs: count }));
}

/** The mean batch of one worker, in photos; undefined where it ran none. */
export function meanBatch({ batches }: WorkerFigures): number | undefined {
  let [photos, runs] = [0, 0];
  for (const [size, count] of Object.entries(batches)) {
    photos += Number(size) * count;
    runs += count;
  }
  return runs > 0 ? photos / runs : undefined;
}

/** The mean time of a model run, in milliseconds. */
export function meanRunMs({ batches, runSeconds }: WorkerFigures): number | undefined {
  const runs = Object.values(batches).reduce((sum, count) => sum + count, 0);
  return runs > 0 ? (runSeconds / runs) * 1_000 : undefined;
}

/** Photos a second, in words; a small number with digits that say something. */
export function perSecond(rate: number): string {
  return `${rate === 0 || rate >= 1 ? rate.toFixed(1) : Number(rate.toPrecision(2))}/s`;
}

/** Such as "3 s", "4 min" or "2 h". */
export function duration(seconds: number): string {
  if (seconds < 1) return seconds === 0 ? "0 s" : "< 1 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function ms(value: number | undefined): string {
  if (value === undefined) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : `${number(Math.round(value))} ms`;
}

const STAGES = ["fetch", "decode", "batch", "record", "total"];
const FEWEST_FOR_SHARE = 10;
