/** `npm run bench:gpu`: what the photo path does on an NVIDIA GPU. */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { packageRoot } from "../src/package-root.ts";
import { openJudge } from "../src/wiring/judge.ts";
import { rounded, runBench } from "./bench.ts";
import { type Graph, gpuName, measureGpuMemory, measureGraph, SIZES, scoresOnCpu } from "./gpu.ts";
import { measureLine } from "./line.ts";
import { linkPhotos } from "./photos.ts";
import { setUpBench } from "./setup.ts";
import { measureDecoding } from "./stages.ts";

const about = `Measures, where onnxruntime's CUDA provider is installed: on which provider each node of the fp32 and fp16 graphs runs, how far their
scores are from the CPU's, inference alone by batch size beside PyTorch's on the same GPU, decoding alone, the whole line on Redis
(if redis-server is on the PATH) and on Postgres, and the GPU's memory over many photos. MAITRED_PROVIDER=cpu tries it without a GPU.`;
const options = {
  photos: [20_000, "photos through each line"],
  memory: [100_000, "photos of the memory run; 0 leaves it out"],
  seconds: [3, "of each run of one stage alone"],
  python: ["python3", "one with PyTorch and what training/requirements.txt names; none leaves it out"],
} as const;

await runBench("bench:gpu", about, options, async ({ values, scope, machine, say, keep }) => {
  const { seconds } = values;
  const { work, paths, queues, env } = await setUpBench(scope, 88);
  const folder = join(work, "line");
  linkPhotos(paths, folder, values.photos);
  const provider = process.env["MAITRED_PROVIDER"] ?? "cuda";
  const gpuEnv = env({ MAITRED_PROVIDER: provider, MAITRED_FOLDERS: folder });
  const config = readConfig(gpuEnv);
  machine["gpu"] = gpuName();
  machine["threadPool"] = process.env["UV_THREADPOOL_SIZE"] ?? "default";
  say(`${gpuName() || "no GPU"}, ${machine["cores"]} cores`);

  const judge = await openJudge({ ...config, provider: "cpu" });
  const { model } = judge;
  const decodePhotosPerS = await measureDecoding(judge, paths, seconds);
  const decoded: Uint8Array[] = [];
  for (const path of paths) decoded.push(...(await judge.decode(await readFile(path), (work) => work())));
  await judge.close();
  keep({ model: model.id, decodePhotosPerS });
  say(`decode alone: ${rounded(decodePhotosPerS)} photos/s`);

  const pixels = Array.from({ length: SIZES.at(-1)! }, (_, n) => decoded[n % decoded.length]!);
  const expected = await scoresOnCpu(config, decoded);
  const graphs: Record<string, Graph> = {};
  for (const variant of config.provider === "cpu" ? ["fp32"] : ["fp32", "fp16"]) {
    graphs[variant] = await measureGraph(config, variant, pixels, expected, seconds);
    keep({ graphs });
    say(`infer, ${variant}: ${JSON.stringify(rounded(graphs[variant]))}`);
  }

  if (values.python !== "none") {
    const script = join(packageRoot(), "bench/ceiling.py");
    const args = [script, String(model.side), String(seconds), ...SIZES.map(String)];
    const { status, stdout, stderr, error } = spawnSync(values.python, args, { encoding: "utf8" });
    if (status === 0) keep({ pytorch: JSON.parse(stdout) });
    say(`PyTorch: ${status === 0 ? stdout.trim() : `not measured: ${error?.message ?? stderr.trim()}`}`);
  }

  const inferPhotosPerS = Math.max(...Object.values(Object.values(graphs).at(-1)!.photosPerS));
  const slower = Math.min(decodePhotosPerS, inferPhotosPerS);
  const line: Record<string, object> = {};
  for (const [name, url] of Object.entries(queues)) {
    const rate = await measureLine(readConfig({ ...gpuEnv, MAITRED_QUEUE_URL: url }), folder);
    line[name] = { ...rate, ratioToSlower: rate.photosPerS / slower };
    keep({ line });
    say(`line, ${name}: ${JSON.stringify(rounded(line[name]))}`);
  }

  if (values.memory > 0) {
    const gpuMiB = await measureGpuMemory(config, pixels, values.memory);
    keep({ memory: { photos: values.memory, gpuMiB } });
    say(`GPU memory, MiB: ${gpuMiB.join(" ")}`);
  }
});
