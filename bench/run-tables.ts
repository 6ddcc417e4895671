/** `npm run bench:tables`: how fast tables and views are when they are full, printed and written to bench/results/. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { startPostgres } from "../src/embedded/postgres.ts";
import { packageRoot } from "../src/package-root.ts";
import { migrate } from "../src/store/migrate.ts";
import { connect } from "../src/store/pool.ts";
import { checkRollups, foldRollups, mendRollups } from "../src/store/rollups.ts";
import { DISTRIBUTIONS, fillTables } from "./fill-tables.ts";
import { timeArchive, timeQueries, timeScattered, timeUploads, writeBeside } from "./tables.ts";

const { values } = parseArgs({
  options: {
    photos: { type: "string", default: "1000000" },
    runs: { type: "string", default: "100" },
    home: { type: "string" },
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run bench:tables -- [--photos N] [--runs N] [--home FOLDER] [--out FILE]

Fills an embedded Postgres with generated photos, verdicts, tags and reviews, makes their counts from nothing while a writer
runs beside, and then measures every query of docs/tables.md, groups of 256 verdicts, folding, and the check of the counts.
  --photos N     how many (default 1000000; 20 million take 30 GB of disk and half an hour on two cores)
  --runs N       of each query and of each kind of group (default 100)
  --home FOLDER  keeps the database there; one that is filled there already is not filled again
`);
  process.exit(0);
}
const photos = Number(values.photos);
const runs = Number(values.runs);
const say = (text: string): void =>
  void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
const home = values.home ?? mkdtempSync(join(tmpdir(), "maitred-bench-"));
const settings = {
  shared_buffers: "2GB",
  max_wal_size: "16GB",
  checkpoint_timeout: "30min",
  effective_cache_size: "8GB",
};

// what needs a restart is set by one
const first = await startPostgres(home);
const admin = new pg.Client(first.url);
await admin.connect();
for (const [name, value] of Object.entries(settings))
  await admin.query(`alter system set ${name} = '${value}'`);
// the embedded one does without, which would flatter
await admin.query("alter database postgres set synchronous_commit = 'on'");
await admin.end();
await first.close();
const postgres = await startPostgres(home);
const db = connect(postgres.url, () => {}, 2);
const result: Record<string, unknown> = {
  date: new Date().toISOString(),
  command: `npm run bench:tables -- ${process.argv.slice(2).join(" ")}`.trim(),
  machine: {
    cpu: cpus()[0]!.model,
    cores: availableParallelism(),
    node: process.versions.node,
    loadBefore: loadavg()[0],
  },
  postgres: { ...settings, synchronous_commit: "on", tables: "logged", destinations: "none" },
  photos,
  distributions: DISTRIBUTIONS,
};

const date = String(result["date"]).slice(0, 10);
const out = values.out ?? join(packageRoot(), "bench/results", `tables-${date}.json`);
mkdirSync(join(out, ".."), { recursive: true });
/** What was measured so far is kept, whatever ends the rest. */
const keep = (name: string, measured: unknown): void => {
  result[name] = measured;
  writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
};

const { rows: filled } = await db.query("select to_regclass('photos') is not null as filled");
if (!filled[0].filled) {
  await migrate(postgres.url, "maitred_queue");
  await fillTables(postgres.url, photos, availableParallelism(), say);
  const quiet = new AbortController();
  setTimeout(() => quiet.abort(), 15_000);
  const writingBefore = await writeBeside(db, quiet.signal);
  const stop = new AbortController();
  const writing = writeBeside(db, stop.signal);
  const [made, took] = await seconds(() => mendRollups(db));
  stop.abort();
  keep("counting", { made, seconds: took, writingBefore, writingBeside: await writing });
  say(`counting: ${JSON.stringify(result["counting"])}`);
  await db.query("vacuum (analyze) photos, tags, verdicts, reviews");
  await db.query("analyze");
}
keep("groups", await timeGroups());
keep("queriesBeforeFolding", await timeQueries(db, photos, runs));
const [moved, foldSeconds] = await seconds(() => foldRollups(db));
keep("fold", { moved, seconds: foldSeconds });
say(`fold: ${JSON.stringify(result["fold"])}`);
const queries = await timeQueries(db, photos, runs);
keep("queries", queries);
for (const [title, times] of Object.entries(queries))
  say(`${title}: p50 ${times.p50Ms} ms, p95 ${times.p95Ms} ms`);
const { rows: sizes } = await db.query<{ name: string; mb: number }>(
  `select relname as name, (pg_relation_size(oid) / 1e6)::int as mb from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'i') and pg_relation_size(oid) > 1e6 order by 2 desc`,
);
keep("sizesMB", Object.fromEntries(sizes.map(({ name, mb }) => [name, mb])));
const [wrong, checkSeconds] = await seconds(() => checkRollups(db, 10));
keep("check", { wrong: wrong.length, seconds: checkSeconds });
say(`check: ${JSON.stringify(result["check"])}`);
await db.end();
await postgres.close();
if (!values.home) rmSync(home, { recursive: true, force: true });
say(`written to ${out}`);
process.exit(0);

/** Groups of 256 verdicts. */
async function timeGroups(): Promise<object> {
  const groups = {
    uploads: await timeUploads(db, runs),
    archive: await timeArchive(db, photos, runs),
    scattered: await timeScattered(db, photos, runs),
  };
  for (const [which, times] of Object.entries(groups))
    say(`groups of 256, ${which}: p50 ${times.p50Ms} ms, p95 ${times.p95Ms} ms`);
  return groups;
}

async function seconds<T>(work: () => Promise<T>): Promise<[T, number]> {
  const begun = Date.now();
  const answer = await work();
  return [answer, Number(((Date.now() - begun) / 1_000).toFixed(1))];
}
