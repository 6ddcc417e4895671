import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Config } from "../src/config.ts";
import type { Provider } from "../src/infer/model.ts";
import type { Scores } from "../src/photo.ts";
import { openJudge } from "../src/wiring/judge.ts";
import { rate } from "./stages.ts";

/** What one graph does on one provider. */
export interface Graph {
  /** What the runtime's profile lists of one run, by the provider that ran it. */
  nodes: Record<string, number>;
  /** Of the kinds of node that take longest, in ms of a batch of 64; on CUDA the time to launch them, not to run them. */
  slowest: Record<string, number>;
  /** Photos/s by batch size, pixels in and scores out, through the thread that a worker uses. */
  photosPerS: Record<string, number>;
  /** The largest difference of any score of any photo from the plain graph's on the CPU, 0 to 1. */
  differsFromCpu: number;
}

export const SIZES = [1, 8, 32, 64, 128, 256];

/** @param pixels as many photos as the largest batch. */
export async function measureGraph(
  config: Config,
  variant: string,
  pixels: readonly Uint8Array[],
  expected: readonly Scores[],
  seconds: number,
): Promise<Graph> {
  const judge = await openJudge({ ...config, variant, maxBatch: SIZES.at(-1)! });
  try {
    const { inference } = judge;
    const { provider, instead } = await inference.ready();
    if (instead) throw new Error(`${variant} does not run where it should: ${instead}`);
    const photosPerS: Graph["photosPerS"] = {};
    for (const size of SIZES) {
      const batch = pixels.slice(0, size);
      photosPerS[size] = await rate(
        seconds,
        2 * inference.threads,
        async () => (await inference.run(batch)).length,
      );
    }
    const scores = await inference.run(pixels.slice(0, expected.length));
    const differsFromCpu = Math.max(...scores.map((each, n) => apart(each, expected[n]!)));
    const { file } = judge.model.variants.find((each) => each.variant === variant)!;
    return { ...(await profile(file, provider, pixels.slice(0, 64))), photosPerS, differsFromCpu };
  } finally {
    await judge.close();
  }
}

/** The scores of the plain graph on the CPU. */
export async function scoresOnCpu(config: Config, pixels: readonly Uint8Array[]): Promise<Scores[]> {
  const judge = await openJudge({ ...config, provider: "cpu", variant: "fp32", maxBatch: 8 });
  const scores: Scores[] = [];
  for (let at = 0; at < pixels.length; at += 8)
    scores.push(...(await judge.inference.run(pixels.slice(at, at + 8))));
  await judge.close();
  return scores;
}

/** MiB of the GPU in use at each tenth of `total` photos that are judged in batches of 64. */
export async function measureGpuMemory(
  config: Config,
  pixels: readonly Uint8Array[],
  total: number,
): Promise<number[]> {
  const judge = await openJudge(config);
  await judge.inference.ready();
  const used = [gpuMiB()];
  const batch = pixels.slice(0, judge.inference.maxBatch);
  let done = 0;
  const lane = async (): Promise<void> => {
    while (done < total) {
      done += batch.length;
      await judge.inference.run(batch);
      if (done >= (used.length * total) / 10) used.push(gpuMiB());
    }
  };
  await Promise.all([lane(), lane()]);
  await judge.close();
  return used;
}

/** What the GPU's driver says of it, such as its name; NaN MiB and no name where there is none. */
export function gpuName(): string {
  return smi("name,driver_version");
}

function gpuMiB(): number {
  return Number.parseFloat(smi("memory.used") || "NaN");
}

function smi(fields: string): string {
  const { stdout } = spawnSync("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"], {
    encoding: "utf8",
  });
  return (stdout ?? "").trim();
}

/** What onnxruntime itself says of one run: the provider and the time of each node. */
async function profile(
  file: string,
  provider: Provider,
  photos: readonly Uint8Array[],
): Promise<Pick<Graph, "nodes" | "slowest">> {
  const folder = mkdtempSync(join(tmpdir(), "maitred-profile-"));
  const session = await InferenceSession.create(file, {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    // opening fails where a node would run elsewhere
    extra: { session: { disable_cpu_ep_fallback: provider === "cuda" ? "1" : "0" } },
    enableProfiling: true,
    logSeverityLevel: 3,
    profileFilePrefix: join(folder, "profile"),
  });
  const side = Math.sqrt(photos[0]!.length / 3);
  const runs = 5;
  const feed = new Tensor("uint8", Buffer.concat(photos), [photos.length, side, side, 3]);
  for (let n = 0; n < runs; n++) await session.run({ photos: feed });
  session.endProfiling();
  await session.release();
  const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]!), "utf8")) as Event[];
  rmSync(folder, { recursive: true });
  const ran = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"));
  const nodes = sumBy(
    ran,
    ({ args }) => args.provider!,
    () => 1,
  );
  // the first run tries which algorithm is fastest
  const times = sumBy(
    ran.slice(-ran.length / runs),
    ({ args }) => args.op_name!,
    ({ dur }) => dur / 1_000,
  );
  const slowest = Object.entries(times).toSorted((a, b) => b[1] - a[1]);
  const once = Object.entries(nodes).map(([name, count]) => [name, count / runs]);
  return { nodes: Object.fromEntries(once), slowest: Object.fromEntries(slowest.slice(0, 5)) };
}

function sumBy(
  events: readonly Event[],
  name: (event: Event) => string,
  value: (event: Event) => number,
): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const event of events) sums[name(event)] = (sums[name(event)] ?? 0) + value(event);
  return sums;
}

/** Of a profile; `dur` in microseconds. */
interface Event {
  cat: string;
  name: string;
  dur: number;
  args: { provider?: string; op_name?: string };
}

function apart(one: Scores, other: Scores): number {
  const categories = Object.keys(one.categories).map(
    (name) => one.categories[name]! - other.categories[name]!,
  );
  return Math.max(...[one.human - other.human, ...categories].map(Math.abs));
}
