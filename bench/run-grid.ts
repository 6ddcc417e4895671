/** `npm run bench:grid`: how smooth the review grid is in a real browser, printed and written to bench/results/. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../src/config.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { packageRoot } from "../src/package-root.ts";
import { measureGrid } from "./grid.ts";
import { linkPhotos, makePhotos } from "./photos.ts";

const help = `usage: npm run bench:grid -- [--photos N] [--out FILE]

Reviews photos in a headless Chromium until all are in the grid, and times its frames while they are scrolled through and
gone through with the keyboard. The API, Postgres and the browser, which draws without a GPU, share the machine.

  --photos N    (default 2000, which is as many as the page keeps)
  --out FILE    (default bench/results/grid-DATE.json)
`;
const { values } = parseArgs({
  options: { photos: { type: "string" }, out: { type: "string" }, help: { type: "boolean", short: "h" } },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const photos = Number(values.photos ?? 2_000);
if (!Number.isInteger(photos) || photos < 100 || photos > 2_000) {
  process.stderr.write(
    `--photos: expected a whole number 100 to 2000, got ${JSON.stringify(values.photos)}\n`,
  );
  process.exit(2);
}
const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
const postgres = await startPostgres(work);
const made = join(work, "made");
mkdirSync(made);
const folder = join(work, "photos");
linkPhotos(await makePhotos(made, 20), folder, photos);
const config = readConfig({
  DATABASE_URL: postgres.url,
  MAITRED_QUEUE_URL: postgres.url,
  MAITRED_FOLDERS: folder,
});
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const grid = await measureGrid(config, { folder, photos }, say);
const result = {
  date: new Date().toISOString(),
  machine: {
    cpu: cpus()[0]!.model,
    cores: availableParallelism(),
    load: loadavg()[0],
    node: process.versions.node,
  },
  ...grid,
};
const text = `${JSON.stringify(result, null, 2)}\n`;
writeFileSync(
  values.out ?? join(packageRoot(), "bench/results", `grid-${result.date.slice(0, 10)}.json`),
  text,
);
process.stdout.write(text);
await postgres.close();
rmSync(work, { recursive: true, force: true });
process.exit(0);
