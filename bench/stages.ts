import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import type { Config } from "../src/config.ts";
import { type Judge, openJudge } from "../src/wiring/judge.ts";

interface Stages {
  model: string;
  provider: string;
  decodePhotosPerS: number;
  /** What runs unless MAITRED_VARIANT says otherwise. */
  variant: string;
  /** By variant and batch size. */
  inferPhotosPerS: Record<string, Record<string, number>>;
}

/** Decoding alone, and inference alone of each variant, each with the whole machine to itself. */
export async function measureStages(
  config: Config,
  paths: readonly string[],
  seconds: number,
): Promise<Stages> {
  const judge = await openJudge(config);
  const { provider } = await judge.inference.ready();
  const decodePhotosPerS = await measureDecoding(judge, paths, seconds);
  const pixels = (await Promise.all(paths.map((path) => decodeFile(judge, path)))).flat();
  await judge.close();
  const inferPhotosPerS: Stages["inferPhotosPerS"] = {};
  for (const { variant } of judge.model.variants)
    inferPhotosPerS[variant] = await measureInference({ ...config, variant }, pixels, seconds);
  const { variant } = judge.model.graphs[provider];
  return { model: judge.model.id, provider, decodePhotosPerS, variant, inferPhotosPerS };
}

/** Photos a second that are read from files and decoded. */
export function measureDecoding(judge: Judge, paths: readonly string[], seconds: number): Promise<number> {
  return rate(seconds, judge.decoders * 3, async (n) => {
    await decodeFile(judge, paths[n % paths.length]!);
    return 1;
  });
}

async function decodeFile(judge: Judge, path: string): Promise<Uint8Array[]> {
  return judge.decode(await readFile(path), (work) => work());
}

/** Photos a second by batch size. All photos take part, for those that the model looks at more closely take longer. */
async function measureInference(
  config: Config,
  pixels: readonly Uint8Array[],
  seconds: number,
): Promise<Record<string, number>> {
  const judge = await openJudge(config);
  const { inference } = judge;
  await inference.ready();
  const rates: Record<string, number> = {};
  for (let size = 1; size <= inference.maxBatch; size *= 2) {
    rates[size] = await rate(seconds, 2 * inference.threads, async (n) => {
      const from = (n * size) % pixels.length;
      const batch = [...pixels, ...pixels].slice(from, from + size);
      return (await inference.run(batch)).length;
    });
  }
  await judge.close();
  return rates;
}

/** Runs `work` in `lanes` loops for at least `seconds`, after a warm-up of a tenth; what it returned, per second. */
export async function rate(
  seconds: number,
  lanes: number,
  work: (n: number) => Promise<number>,
): Promise<number> {
  for (const part of [seconds / 10, seconds]) {
    const since = performance.now();
    const until = since + part * 1000;
    let [next, done] = [0, 0];
    const loop = async (): Promise<void> => {
      while (performance.now() < until) {
        // not in one expression, which would read `done` before the others have added to it
        const count = await work(next++);
        done += count;
      }
    };
    await Promise.all(Array.from({ length: lanes }, loop));
    if (part === seconds) return (done / (performance.now() - since)) * 1000;
  }
  throw new Error("unreachable");
}
