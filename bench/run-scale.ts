/** `npm run bench:scale`: a backfill of many photos through the real queue, printed and written to bench/results/. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { layGround } from "./ground.ts";
import { measureScale } from "./scale.ts";
import { startStore } from "./store.ts";

const { values } = parseArgs({
  options: {
    photos: { type: "string", default: "20000" },
    every: { type: "string", default: "100" },
    limit: { type: "string", default: "5000" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench:scale -- [--photos N] [--every N] [--limit N] [--out FILE]

Runs one backfill over a bucket that nobody has looked at: planned, fed through Redis and recorded, and then counts what
is there. A local server stands for the bucket, of small photos. One photo in --every is fetched, decoded and judged; the
others are recorded from the scores that the model gave the same picture. A million photos take six minutes on two cores.
  --photos N    in the bucket, at least 10000 (default 20000)
  --every N     one photo in so many is judged (default 100)
  --limit N     photos that the feeder keeps in the queue (default 5000)
  --out FILE    (default bench/results/scale-DATE.json)

Exit codes: 0 done, 1 a photo was lost, or counted twice: \`wrong\` says which count is not what it should be.
`);
  process.exit(0);
}

const scope = new Scope();
const [photos, every, queueLimit] = [values.photos, values.every, values.limit].map(Number) as [
  number,
  number,
  number,
];
if (!(photos >= 10_000)) throw new Error(`--photos: expected at least 10000, got ${values.photos}`);
// of no common factor with --every, so that all of them are judged
const { paths, postgresUrl, redisUrl } = await layGround(scope, 87, 640);
const pictures = paths.map((path) => readFileSync(path));
const store = scope.hold("store", withClose(await startStore(photos, pictures)));
if (!redisUrl) throw new Error("expected redis-server on the PATH");
const config = readConfig({
  DATABASE_URL: postgresUrl,
  MAITRED_QUEUE_URL: redisUrl,
  MAITRED_S3_ENDPOINT: store.endpoint,
});
const loadBefore = loadavg()[0]!;
const measured = await measureScale(config, store, { photos, every, pictures: pictures.length, queueLimit });
const result = rounded({
  date: new Date().toISOString(),
  command: `npm run bench:scale -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: {
    cpu: cpus()[0]!.model,
    cores: availableParallelism(),
    node: process.versions.node,
    loadBefore,
    loadAfter: loadavg()[0]!,
  },
  store:
    "a local HTTP server that lists from memory and answers with 87 photos of 640 x 480: no network, no disk",
  judged: `one photo in ${every} was fetched, decoded and judged; the others were recorded from stored scores`,
  ...measured,
});
const text = `${JSON.stringify(result, null, 2)}\n`;
process.stdout.write(text);
const date = new Date().toISOString().slice(0, 10);
const out = values.out ?? join(packageRoot(), "bench/results", `scale-${date}.json`);
mkdirSync(join(out, ".."), { recursive: true });
writeFileSync(out, text);
process.stderr.write(`written to ${out}\n`);
await scope.close();
process.exit(measured.wrong.length > 0 ? 1 : 0);

function withClose<T extends { close(): void }>(thing: T): T & { close(): Promise<void> } {
  return { ...thing, close: async () => thing.close() };
}

function rounded(value: object): object {
  return JSON.parse(
    JSON.stringify(value, (_, each) => (typeof each === "number" ? Number(each.toFixed(1)) : each)),
  );
}
