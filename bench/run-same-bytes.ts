/** `npm run bench:same-bytes`: what looking for the same bytes costs and saves, printed and written to bench/results/. */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../src/config.ts";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";
import { layGround } from "./ground.ts";
import { measureLookups, measureSameBytes } from "./same-bytes.ts";

const { values } = parseArgs({
  options: {
    photos: { type: "string", default: "600" },
    rounds: { type: "string", default: "3" },
    rows: { type: "string", default: "2000000" },
  },
});
const scope = new Scope();
const { work, paths, postgresUrl, redisUrl } = await layGround(scope, 88);
const configFor = (folder: string, duplicates: "each" | "once") =>
  readConfig({
    DATABASE_URL: postgresUrl,
    MAITRED_QUEUE_URL: redisUrl || postgresUrl,
    MAITRED_FOLDERS: folder,
    MAITRED_DUPLICATES: duplicates,
    MAITRED_PORT: "0",
  });

const [loadBefore] = loadavg();
const line = await measureSameBytes(configFor, paths, work, Number(values.photos), Number(values.rounds));
const lookups = await measureLookups(configFor("", "once"), Number(values.rows));
const result = {
  date: new Date().toISOString(),
  command: `npm run bench:same-bytes -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: { cpu: cpus()[0]!.model, cores: availableParallelism(), node: process.versions.node, loadBefore },
  ...line,
  lookups,
};
const rounded = (_key: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value;
const text = `${JSON.stringify(result, (key, value) => (key === "rows" || key === "photos" ? value : rounded(key, value)), 2)}\n`;
process.stdout.write(text);
writeFileSync(join(packageRoot(), "bench/results", `same-bytes-${result.date.slice(0, 10)}.json`), text);
await scope.close();
process.exit(0);
