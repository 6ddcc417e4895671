/** `npm run bench`: what the photo path does on this machine. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { rounded, runBench } from "./bench.ts";
import { measureLine } from "./line.ts";
import { measureMemory } from "./memory.ts";
import { linkPhotos } from "./photos.ts";
import { type Env, setUpBench } from "./setup.ts";
import { measureStages } from "./stages.ts";
import { measureSweep } from "./sweep.ts";

const about = `Measures decoding alone, inference alone in each variant, the whole line on Redis (if redis-server is on the PATH) and on embedded
Postgres, a naive worker (one photo at a time), a worker's memory over many photos, and a sweep of a bucket. Takes ten minutes or so.`;
const options = {
  photos: [1_500, "photos through each line"],
  memory: [20_000, "photos of the memory run; 0 leaves it out"],
  seconds: [8, "of each run of one stage alone"],
  sweep: [50_000, "keys of the sweep; 0 leaves it out"],
} as const;

await runBench("bench", about, options, async ({ values, scope, say, keep }) => {
  const { work, paths, queues, env } = await setUpBench(scope, 88);
  const folder = (name: string, photos: number): string => {
    linkPhotos(paths, join(work, name), photos);
    return join(work, name);
  };
  const line = (where: string, more: Env) =>
    measureLine(readConfig(env({ MAITRED_FOLDERS: where, ...more })), where);

  say(`${paths.length} JPEGs of 1600 x 1200, ${availableParallelism()} cores`);
  const stages = await measureStages(readConfig(env()), paths, values.seconds);
  const infer = Math.max(...Object.values(stages.inferPhotosPerS[stages.variant]!));
  const idealPhotosPerS = 1 / (1 / stages.decodePhotosPerS + 1 / infer);
  keep({ ...stages, idealPhotosPerS });
  say(`alone, photos/s: decode ${rounded(stages.decodePhotosPerS)}, infer by variant and size of the batch`);
  say(JSON.stringify(rounded(stages.inferPhotosPerS)));
  say(`ideal: ${rounded(idealPhotosPerS)} photos/s: 1 / (1/decode + 1/infer) on shared cores`);

  const one = { MAITRED_CONCURRENCY: "1", MAITRED_MAX_BATCH: "1" };
  const { photosPerS: naivePhotosPerS } = await line(folder("naive", Math.ceil(values.photos / 3)), one);
  keep({ naivePhotosPerS });
  say(`naive worker: ${rounded(naivePhotosPerS)} photos/s: one photo at a time`);
  const where = folder("line", values.photos);
  const lines: Record<string, object> = {};
  for (const [name, url] of Object.entries(queues)) {
    const rate = await line(where, { MAITRED_QUEUE_URL: url });
    lines[name] = {
      ...rate,
      ratioToIdeal: rate.photosPerS / idealPhotosPerS,
      ratioToNaive: rate.photosPerS / naivePhotosPerS,
    };
    say(`line, ${name}: ${JSON.stringify(rounded(lines[name]))}`);
  }
  keep({ line: lines });

  if (values.memory > 0) {
    const where = folder("memory", values.memory);
    const quiet = env({ MAITRED_FOLDERS: where, MAITRED_LOG_LEVEL: "error" });
    const memory = await measureMemory(quiet, where, values.memory);
    keep({ memory });
    say(`memory: ${JSON.stringify(rounded(memory))}`);
  }
  if (values.sweep > 0) {
    const sweep = await measureSweep(env(), values.sweep);
    keep({ sweep });
    say(`sweep: ${JSON.stringify(rounded(sweep))}`);
  }
});
