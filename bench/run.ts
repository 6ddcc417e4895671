/** `npm run bench`: what the photo path does on this machine, printed and written to bench/results/. */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { givenSettings, layGround } from "./ground.ts";
import { measureLine } from "./line.ts";
import { measureMemory } from "./memory.ts";
import { linkPhotos } from "./photos.ts";
import { measureStages } from "./stages.ts";
import { measureSweep } from "./sweep.ts";

const { values } = parseArgs({
  options: {
    photos: { type: "string", default: "1500" },
    memory: { type: "string", default: "20000" },
    seconds: { type: "string", default: "8" },
    sweep: { type: "string", default: "50000" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench -- [--photos N] [--memory N] [--seconds S] [--sweep N] [--out FILE]

Measures decoding alone, inference alone in each variant, the whole line on Redis (if redis-server is on the PATH) and on embedded
Postgres, a naive worker (one photo at a time), a worker's memory over many photos, and a sweep of a bucket. Takes ten minutes or so.
  --photos N    photos through each line (default 1500)
  --memory N    photos of the memory run (default 20000; 0 leaves it out)
  --seconds S   of each run of one stage alone (default 8)
  --sweep N     keys of the sweep (default 50000; 0 leaves it out); node dist/bench/run-sweep.js N is the sweep alone
`);
  process.exit(0);
}

const scope = new Scope();
const { work, originals, paths, postgresUrl, redisUrl } = await layGround(scope, 88);
const photos = Number(values.photos);
linkPhotos(paths, join(work, "line"), photos);
linkPhotos(paths, join(work, "naive"), Math.ceil(photos / 3));

const configFor = (queueUrl: string, folder: string, env: Record<string, string> = {}): Config =>
  readConfig({
    ...givenSettings(),
    DATABASE_URL: postgresUrl,
    MAITRED_QUEUE_URL: queueUrl,
    MAITRED_FOLDERS: folder,
    MAITRED_PORT: "0",
    // a few photos stand for many: npm run bench:same-bytes says what it costs to look for copies
    MAITRED_DUPLICATES: "each",
    ...env,
  });
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

say(`${paths.length} JPEGs of 1600 x 1200, ${availableParallelism()} cores`);
const stages = await measureStages(configFor(postgresUrl, originals), paths, Number(values.seconds));
const infer = Math.max(...Object.values(stages.inferPhotosPerS[stages.variant]!));
const ideal = 1 / (1 / stages.decodePhotosPerS + 1 / infer);
say(`decode alone     ${round(stages.decodePhotosPerS)} photos/s`);
for (const [variant, rates] of Object.entries(stages.inferPhotosPerS)) {
  for (const [size, rate] of Object.entries(rates))
    say(`infer, ${variant.padEnd(9)} ${round(rate)} photos/s in batches of ${size}`);
}
say(`ideal            ${round(ideal)} photos/s: 1 / (1/decode + 1/infer) on shared cores`);

const naiveQueue = redisUrl || postgresUrl;
const naive = await measureLine(
  configFor(naiveQueue, join(work, "naive"), { MAITRED_CONCURRENCY: "1", MAITRED_MAX_BATCH: "1" }),
  join(work, "naive"),
);
say(`naive worker     ${round(naive.photosPerS)} photos/s: one photo at a time`);
const lines: Record<string, object> = {};
for (const [name, url] of Object.entries({ redis: redisUrl, postgres: postgresUrl })) {
  if (!url) continue;
  const { photosPerS, meanBatch } = await measureLine(configFor(url, join(work, "line")), join(work, "line"));
  const ratios = {
    ratioToIdeal: round(photosPerS / ideal, 3),
    ratioToNaive: round(photosPerS / naive.photosPerS, 2),
  };
  lines[name] = { photosPerS: round(photosPerS), meanBatch: round(meanBatch), ...ratios };
  say(
    `line, ${name.padEnd(10)} ${round(photosPerS)} photos/s, ${ratios.ratioToIdeal} of the ideal, ${ratios.ratioToNaive} x naive, batches of ${round(meanBatch)}`,
  );
}

let memory: object | undefined;
const many = Number(values.memory);
if (many > 0) {
  linkPhotos(paths, join(work, "memory"), many);
  const measured = await measureMemory(
    configFor(naiveQueue, join(work, "memory")),
    join(work, "memory"),
    many,
  );
  memory = Object.fromEntries(
    Object.entries(measured).map(([name, value]) => [name, round(value, name === "growth" ? 4 : 1)]),
  );
  say(`memory           ${JSON.stringify(memory)}`);
}

const keys = Number(values.sweep);
const sweep = keys > 0 ? await measureSweep(configFor(naiveQueue, ""), keys) : undefined;
if (sweep) say(`sweep            ${JSON.stringify(sweep)}`);

const result = {
  date: new Date().toISOString(),
  command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: { cpu: cpus()[0]!.model, cores: availableParallelism(), node: process.versions.node },
  model: stages.model,
  provider: stages.provider,
  decodePhotosPerS: round(stages.decodePhotosPerS),
  variant: stages.variant,
  inferPhotosPerS: Object.fromEntries(
    Object.entries(stages.inferPhotosPerS).map(([variant, rates]) => [
      variant,
      Object.fromEntries(Object.entries(rates).map(([size, rate]) => [size, round(rate)])),
    ]),
  ),
  idealPhotosPerS: round(ideal),
  naivePhotosPerS: round(naive.photosPerS),
  line: lines,
  memory,
  sweep,
};
const out =
  values.out ?? join(packageRoot(), "bench/results", `${stages.provider}-${result.date.slice(0, 10)}.json`);
mkdirSync(join(out, ".."), { recursive: true });
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
say(`written to ${out}`);
await scope.close();
process.exit(0);
