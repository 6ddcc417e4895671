/** `npm run bench:events`: what the intake does on this machine, printed and written to bench/results/. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig } from "../src/config.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { measureEvents } from "./events.ts";
import { measureLatency } from "./latency.ts";
import { startRedis } from "./redis.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    latency: { type: "string", default: "60" },
    rate: { type: "string", default: "20" },
    queue: { type: "string", default: "redis,postgres" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench:events -- [--seconds S] [--latency S] [--rate N] [--queue NAMES] [--out FILE]

Measures how many events one process of maitred api commits and queues a second, one a request and 1,000 a request, with
the queue on Redis (if redis-server is on the PATH) and on the same Postgres; and how long a photo takes from its 202 to
its committed verdict while events come at a steady rate, with the model on this machine and photos from a local S3.
  --seconds S     of each run of events (default 10)
  --latency S     of the steady rate (default 60; 0 leaves it out)
  --rate N        its events a second (default 20)
  --queue NAMES   (default redis,postgres)
`);
  process.exit(0);
}

const scope = new Scope();
const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
scope.onClose("files", () => rmSync(work, { recursive: true, force: true }));
const postgres = scope.hold("Postgres", await startPostgres(work));
// as docker-compose.yml has it
const redisUrl = await startRedis(scope, ["--save", "", "--appendonly", "yes", "--dir", work]);
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const configFor = (queueUrl: string, s3 = ""): Config =>
  readConfig({
    DATABASE_URL: postgres.url,
    MAITRED_QUEUE_URL: queueUrl,
    MAITRED_S3_ENDPOINT: s3,
    // a few photos stand for many
    MAITRED_DUPLICATES: "each",
    // what the runs of events leave in a queue must not stand before the photos of the steady rate
    MAITRED_QUEUE_PREFIX: s3 ? "bench_latency" : "bench_events",
  });

const events: Record<string, object> = {};
const latency: Record<string, object> = {};
const queues = { redis: redisUrl, postgres: postgres.url };
for (const [name, url] of Object.entries(queues)) {
  if (!url || !values.queue.split(",").includes(name)) continue;
  const measured = await measureEvents(configFor(url), Number(values.seconds));
  events[name] = rounded(measured);
  for (const [how, { eventsPerS, p50Ms, p95Ms, connections }] of Object.entries(measured)) {
    say(
      `${name.padEnd(9)} ${how.padEnd(7)} ${eventsPerS.toFixed(0)} events/s over ${connections} connections; a request takes ${p50Ms.toFixed(1)} ms, p95 ${p95Ms.toFixed(1)}`,
    );
  }
}
if (Number(values.latency) > 0) {
  for (const [name, url] of Object.entries(queues)) {
    if (!url || !values.queue.split(",").includes(name)) continue;
    const measured = await measureLatency(
      (s3) => configFor(url, s3),
      Number(values.rate),
      Number(values.latency),
      work,
    );
    latency[name] = rounded(measured);
    say(`${name.padEnd(9)} from 202 to verdict at ${values.rate} events/s: ${JSON.stringify(latency[name])}`);
  }
}
const result = {
  date: new Date().toISOString(),
  command: `npm run bench:events -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: { cpu: cpus()[0]!.model, cores: availableParallelism(), node: process.versions.node },
  events,
  latency,
};
const out = values.out ?? join(packageRoot(), "bench/results", `events-${result.date.slice(0, 10)}.json`);
mkdirSync(join(out, ".."), { recursive: true });
writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
say(`written to ${out}`);
await scope.close();
process.exit(0);

function rounded(value: object): object {
  return JSON.parse(
    JSON.stringify(value, (_, each) => (typeof each === "number" ? Number(each.toFixed(1)) : each)),
  );
}
