/** `npm run bench:fair`: how long uploads take beside a backfill. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { runBench } from "./bench.ts";
import { measureFairness, type Stretch } from "./fair.ts";
import { setUpBench } from "./setup.ts";
import { quantile } from "./times.ts";

const about = `Measures how long uploads take from the queue to their committed verdict, at a steady rate, through one worker: alone, and
beside a backfill that never runs dry. The queue is on Redis, if redis-server is on the PATH, and else on Postgres.`;
const options = {
  rate: [5, "uploads a second"],
  seconds: [20, "of each stretch"],
  rounds: [5, "each of one idle stretch and one beside the backfill"],
} as const;

await runBench("bench:fair", about, options, async ({ values, scope, say, keep }) => {
  const { rate: ratePerS, seconds, rounds } = values;
  const { work, paths: originals, queues, env } = await setUpBench(scope, 88);
  const folder = join(work, "photos");
  mkdirSync(folder);
  const config = readConfig(env({ MAITRED_FOLDERS: folder }));
  const measured = await measureFairness(config, { folder, originals, ratePerS, seconds, rounds });

  const median = (name: "idle" | "beside", of: (stretch: Stretch) => number): number =>
    quantile(
      measured.rounds.map((round) => of(round[name])),
      0.5,
    );
  for (const { idle, beside } of measured.rounds) {
    say(`idle: ${words(idle)}; beside ${beside.backfillPerS.toFixed(1)} photos/s: ${words(beside)}`);
  }
  for (const name of ["idle", "beside"] as const) {
    const mean = (stage: string): string => median(name, ({ stagesMs }) => stagesMs[stage]!).toFixed(0);
    const stages = ["fetch", "decode", "batch", "record", "total"].map((stage) => `${stage} ${mean(stage)}`);
    say(`${name}, mean ms: ${stages.join(", ")}`);
    const [p50, p95] = [median(name, ({ p50CpuMs }) => p50CpuMs), median(name, ({ p95CpuMs }) => p95CpuMs)];
    say(
      `${name}, CPU of the worker while an upload is in it: p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)}`,
    );
  }
  const [idleP95Ms, besideP95Ms] = [
    median("idle", (each) => each.p95Ms),
    median("beside", (each) => each.p95Ms),
  ];
  const ratio = besideP95Ms / idleP95Ms;
  const both = `${idleP95Ms.toFixed(0)} ms idle, ${besideP95Ms.toFixed(0)} ms beside`;
  say(`median p95: ${both}: ${ratio.toFixed(2)} times`);
  keep({ queue: Object.keys(queues)[0], idleP95Ms, besideP95Ms, ratio, ...measured });
});

function words({ p50Ms, p95Ms }: Stretch): string {
  return `p50 ${p50Ms.toFixed(0)} ms, p95 ${p95Ms.toFixed(0)} ms`;
}
