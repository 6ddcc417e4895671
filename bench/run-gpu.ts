/** `npm run bench:gpu`: what the photo path does on an NVIDIA GPU, printed and written to bench/results/. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { openJudge } from "../src/wiring/judge.ts";
import { type Graph, gpuName, measureGpuMemory, measureGraph, SIZES, scoresOnCpu } from "./gpu.ts";
import { givenSettings, layGround } from "./ground.ts";
import { measureLine } from "./line.ts";
import { linkPhotos } from "./photos.ts";
import { measureDecoding } from "./stages.ts";

const { values } = parseArgs({
  options: {
    photos: { type: "string", default: "20000" },
    memory: { type: "string", default: "100000" },
    seconds: { type: "string", default: "3" },
    python: { type: "string", default: "python3" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench:gpu -- [--photos N] [--memory N] [--seconds S] [--python FILE] [--out FILE]

Measures, where onnxruntime's CUDA provider is installed: on which provider each node of the fp32 and fp16 graphs runs, how far their
scores are from the CPU's, inference alone by batch size beside PyTorch's on the same GPU, decoding alone, the whole line on Redis
(if redis-server is on the PATH) and on Postgres, and the GPU's memory over many photos. MAITRED_PROVIDER=cpu tries it without a GPU.
  --photos N     photos through each line (default 20000)
  --memory N     photos of the memory run (default 100000; 0 leaves it out)
  --seconds S    of each run of one stage alone (default 3)
  --python FILE  a Python with PyTorch and what training/requirements.txt names (default python3); none: leaves it out
`);
  process.exit(0);
}

const scope = new Scope();
const { work, paths, postgresUrl, redisUrl } = await layGround(scope, 88);
linkPhotos(paths, join(work, "line"), Number(values.photos));
const seconds = Number(values.seconds);

const configFor = (queueUrl: string): Config =>
  readConfig({
    MAITRED_PROVIDER: "cuda",
    ...givenSettings(),
    DATABASE_URL: postgresUrl,
    MAITRED_QUEUE_URL: queueUrl,
    MAITRED_FOLDERS: join(work, "line"),
    MAITRED_PORT: "0",
    // a few photos stand for many
    MAITRED_DUPLICATES: "each",
  });
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number): number => Number(value.toPrecision(4));
const rounded = (of: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, round(value)]));

say(`${gpuName() || "no GPU"}, ${availableParallelism()} cores`);
const config = configFor(postgresUrl);
const judge = await openJudge({ ...config, provider: "cpu" });
const decodePhotosPerS = round(await measureDecoding(judge, paths, seconds));
say(`decode alone     ${decodePhotosPerS} photos/s`);
const decoded: Uint8Array[] = [];
for (const path of paths) decoded.push(...(await judge.decode(await readFile(path), (work) => work())));
const model = judge.model;
await judge.close();
const pixels = Array.from({ length: SIZES.at(-1)! }, (_, n) => decoded[n % decoded.length]!);
const expected = await scoresOnCpu(config, decoded);

const graphs: Record<string, Graph> = {};
for (const variant of config.provider === "cpu" ? ["fp32"] : ["fp32", "fp16"]) {
  const found = await measureGraph(config, variant, pixels, expected, seconds);
  const { nodes, slowest, photosPerS, differsFromCpu } = found;
  graphs[variant] = {
    nodes,
    slowest: rounded(slowest),
    photosPerS: rounded(photosPerS),
    differsFromCpu: round(differsFromCpu),
  };
  say(`infer, ${variant}      ${JSON.stringify(graphs[variant])}`);
}

let pytorch: unknown;
if (values.python !== "none") {
  const script = join(packageRoot(), "bench/ceiling.py");
  const asked = spawnSync(
    values.python,
    [script, String(model.side), String(seconds), ...SIZES.map(String)],
    {
      encoding: "utf8",
    },
  );
  if (asked.status === 0) pytorch = JSON.parse(asked.stdout);
  say(
    `PyTorch          ${asked.status === 0 ? asked.stdout.trim() : `not measured: ${asked.error?.message ?? asked.stderr.trim()}`}`,
  );
}

const inferPhotosPerS = Math.max(...Object.values(Object.values(graphs).at(-1)!.photosPerS));
const ideal = Math.min(decodePhotosPerS, inferPhotosPerS);
const lines: Record<string, object> = {};
for (const [name, url] of Object.entries({ redis: redisUrl, postgres: postgresUrl })) {
  if (!url) continue;
  const { photosPerS, meanBatch } = await measureLine(configFor(url), join(work, "line"));
  lines[name] = {
    photosPerS: round(photosPerS),
    meanBatch: round(meanBatch),
    ratioToSlower: round(photosPerS / ideal),
  };
  say(`line, ${name.padEnd(10)} ${JSON.stringify(lines[name])}`);
}

const many = Number(values.memory);
const gpuMiB = many > 0 ? await measureGpuMemory(config, pixels, many) : undefined;
if (gpuMiB) say(`GPU memory, MiB  ${gpuMiB.join(" ")}`);

const date = new Date().toISOString();
const result = {
  date,
  command: `npm run bench:gpu -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: {
    gpu: gpuName(),
    cpu: cpus()[0]!.model,
    cores: availableParallelism(),
    node: process.versions.node,
    threadPool: process.env["UV_THREADPOOL_SIZE"] ?? "default",
  },
  model: model.id,
  decodePhotosPerS,
  graphs,
  pytorch,
  line: lines,
  memory: gpuMiB && { photos: many, gpuMiB },
};
const out = values.out ?? join(packageRoot(), "bench/results", `gpu-${date.slice(0, 10)}.json`);
mkdirSync(join(out, ".."), { recursive: true });
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
say(`written to ${out}`);
await scope.close();
process.exit(0);
