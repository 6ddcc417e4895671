/** `npm run bench:scale`: a backfill of many photos through the real queue. */
import { readFileSync } from "node:fs";
import { runBench } from "./bench.ts";
import { measureScale } from "./scale.ts";
import { setUpBench } from "./setup.ts";
import { startStore } from "./store.ts";

const about = `Runs one backfill over a bucket that nobody has looked at: planned, fed through Redis and recorded, and then counts what
is there. A local server stands for the bucket, of small photos. One photo in --every is fetched, decoded and judged; the
others are recorded from the scores that the model gave the same picture. A million photos take six minutes on two cores.

Exit codes: 0 done, 1 a photo was lost, or counted twice: \`wrong\` says which count is not what it should be.`;
const options = {
  photos: [20_000, "in the bucket, at least 10000"],
  every: [100, "one photo in so many is judged"],
  limit: [5_000, "photos that the feeder keeps in the queue"],
} as const;

await runBench("bench:scale", about, options, async ({ values, scope, keep }) => {
  const { photos, every, limit: queueLimit } = values;
  if (photos < 10_000) throw new Error(`--photos: expected at least 10000, got ${photos}`);
  // of no common factor with --every, so that all of them are judged
  const { paths, queues, env } = await setUpBench(scope, 87, { width: 640 });
  if (!queues["redis"]) throw new Error("expected redis-server on the PATH");
  const pictures = paths.map((path) => readFileSync(path));
  const store = scope.hold("store", await startStore(photos, pictures));
  const settings = { photos, every, pictures: pictures.length, queueLimit };
  const scaleEnv = env({ MAITRED_S3_ENDPOINT: store.endpoint, MAITRED_LOG_LEVEL: "warn" });
  const measured = await measureScale(scaleEnv, store, settings);
  keep({
    store:
      "a local HTTP server that lists from memory and answers with 87 photos of 640 x 480: no network, no disk",
    judged: `one photo in ${every} was fetched, decoded and judged; the others were recorded from stored scores`,
    ...measured,
  });
  return measured.wrong.length > 0 ? 1 : 0;
});
