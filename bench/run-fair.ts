/** `npm run bench:fair`: how long uploads take beside a backfill, printed and written to bench/results/. */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { measureFairness, type Stretch } from "./fair.ts";
import { givenSettings, layGround } from "./ground.ts";

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "5" },
    seconds: { type: "string", default: "20" },
    rounds: { type: "string", default: "5" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench:fair -- [--rate N] [--seconds S] [--rounds N] [--out FILE]

Measures how long uploads take from the queue to their committed verdict, at a steady rate, through one worker: alone, and
beside a backfill that never runs dry. The queue is on Redis, if redis-server is on the PATH, and else on Postgres.
  --rate N      uploads a second (default 5)
  --seconds S   of each stretch (default 20)
  --rounds N    each of one idle stretch and one beside the backfill (default 5)
  --out FILE    (default bench/results/fair-DATE.json)
`);
  process.exit(0);
}

const scope = new Scope();
const { work, paths: originals, postgresUrl, redisUrl } = await layGround(scope, 88);
const folder = join(work, "photos");
mkdirSync(folder);
const config = readConfig({
  ...givenSettings(),
  DATABASE_URL: postgresUrl,
  MAITRED_QUEUE_URL: redisUrl || postgresUrl,
  MAITRED_FOLDERS: folder,
  // a few photos stand for many
  MAITRED_DUPLICATES: "each",
  MAITRED_PORT: "0",
});
const loadBefore = loadavg()[0]!;
const [ratePerS, seconds, rounds] = [values.rate, values.seconds, values.rounds].map(Number) as [
  number,
  number,
  number,
];
const measured = await measureFairness(config, { folder, originals, ratePerS, seconds, rounds });

const median = (of: (round: (typeof measured.rounds)[number]) => number): number =>
  measured.rounds.map(of).sort((a, b) => a - b)[Math.floor(rounds / 2)]!;
const idleP95Ms = median(({ idle }) => idle.p95Ms);
const besideP95Ms = median(({ beside }) => beside.p95Ms);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const words = ({ p50Ms, p95Ms }: Stretch): string => `p50 ${p50Ms.toFixed(0)} ms, p95 ${p95Ms.toFixed(0)} ms`;
for (const { idle, beside } of measured.rounds) {
  say(`idle: ${words(idle)}; beside ${beside.backfillPerS.toFixed(1)} photos/s: ${words(beside)}`);
}
for (const name of ["idle", "beside"] as const) {
  const mean = (stage: string): string => median((round) => round[name].stagesMs[stage]!).toFixed(0);
  const stages = ["fetch", "decode", "batch", "record", "total"].map((stage) => `${stage} ${mean(stage)}`);
  say(`${name}, mean ms: ${stages.join(", ")}`);
}
const cpu = (name: "idle" | "beside"): string =>
  `${median((round) => round[name].p50CpuMs).toFixed(0)}, p95 ${median((round) => round[name].p95CpuMs).toFixed(0)}`;
say(`CPU of the worker while an upload is in it, ms: idle p50 ${cpu("idle")}; beside p50 ${cpu("beside")}`);
const ratio = besideP95Ms / idleP95Ms;
say(
  `median p95: ${idleP95Ms.toFixed(0)} ms idle, ${besideP95Ms.toFixed(0)} ms beside: ${ratio.toFixed(2)} times`,
);

const result = rounded({
  date: new Date().toISOString(),
  command: `npm run bench:fair -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: { cpu: cpus()[0]!.model, cores: availableParallelism(), node: process.versions.node, loadBefore },
  queue: redisUrl ? "redis" : "postgres",
  idleP95Ms,
  besideP95Ms,
  ratio,
  ...measured,
});
const date = new Date().toISOString().slice(0, 10);
const out = values.out ?? join(packageRoot(), "bench/results", `fair-${date}.json`);
mkdirSync(join(out, ".."), { recursive: true });
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
say(`written to ${out}`);
await scope.close();
process.exit(0);

function rounded(value: object): object {
  return JSON.parse(
    JSON.stringify(value, (_, each) => (typeof each === "number" ? Number(each.toFixed(2)) : each)),
  );
}
