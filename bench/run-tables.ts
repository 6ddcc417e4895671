/** `npm run bench:tables`: how fast tables and views are when they are full. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startPostgres } from "../src/embedded/postgres.ts";
import { migrate } from "../src/store/migrate.ts";
import { connect, type Pool } from "../src/store/pool.ts";
import { checkRollups, foldRollups, mendRollups } from "../src/store/rollups.ts";
import { rounded, runBench } from "./bench.ts";
import { DISTRIBUTIONS, fillTables } from "./fill-tables.ts";
import { timeArchive, timeQueries, timeScattered, timeUploads, writeBeside } from "./tables.ts";

const SETTINGS = {
  shared_buffers: "2GB",
  max_wal_size: "16GB",
  checkpoint_timeout: "30min",
  effective_cache_size: "8GB",
};
const about = `Fills an embedded Postgres with generated photos, verdicts, tags and reviews, makes their counts from nothing while a writer
runs beside, and then measures every query of docs/tables.md, groups of 256 verdicts, folding, and the check of the counts.`;
const options = {
  photos: [1_000_000, "how many; 20 million take 30 GB of disk and half an hour on two cores"],
  runs: [100, "of each query and of each kind of group"],
  home: ["", "keeps the database there; one that is filled there already is not filled again"],
} as const;

await runBench("bench:tables", about, options, async ({ values, scope, say, keep }) => {
  const { photos, runs } = values;
  const home = values.home || mkdtempSync(join(tmpdir(), "maitred-bench-"));
  if (!values.home) scope.onClose("files", () => rmSync(home, { recursive: true, force: true }));
  await set(home);
  const { url } = await startPostgres(home, { scope });
  const db = connect(url, () => {}, 2);
  scope.onClose("connections", () => db.end());
  const found = (measured: object): void => {
    keep(measured);
    say(`${new Date().toISOString().slice(11, 19)} ${JSON.stringify(rounded(measured))}`);
  };
  keep({
    postgres: { ...SETTINGS, synchronous_commit: "on", tables: "logged", destinations: "none" },
    photos,
    distributions: DISTRIBUTIONS,
  });

  const { rows } = await db.query("select to_regclass('photos') is not null as filled");
  if (!rows[0].filled) {
    await migrate(url, "maitred_queue");
    await fillTables(url, photos, availableParallelism(), say);
    const writingBefore = await writeBeside(db, AbortSignal.timeout(15_000));
    const stop = new AbortController();
    const writing = writeBeside(db, stop.signal);
    const [made, seconds] = await took(() => mendRollups(db));
    stop.abort();
    found({ counting: { made, seconds, writingBefore, writingBeside: await writing } });
    await db.query("vacuum (analyze) photos, tags, verdicts, reviews");
    await db.query("analyze");
  }
  found({
    groups: {
      uploads: await timeUploads(db, runs),
      archive: await timeArchive(db, photos, runs),
      scattered: await timeScattered(db, photos, runs),
    },
  });
  keep({ queriesBeforeFolding: await timeQueries(db, photos, runs) });
  const [moved, foldSeconds] = await took(() => foldRollups(db));
  found({ fold: { moved, seconds: foldSeconds } });
  found({ queries: await timeQueries(db, photos, runs) });
  keep({ sizesMB: await sizesMB(db) });
  const [wrong, checkSeconds] = await took(() => checkRollups(db, 10));
  found({ check: { wrong: wrong.length, seconds: checkSeconds } });
});

/** What needs a restart is set by one. */
async function set(home: string): Promise<void> {
  const postgres = await startPostgres(home);
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  for (const [name, value] of Object.entries(SETTINGS))
    await admin.query(`alter system set ${name} = '${value}'`);
  // the embedded one does without, which would flatter
  await admin.query("alter database postgres set synchronous_commit = 'on'");
  await admin.end();
  await postgres.close();
}

/** Megabytes of each table and index that has one. */
async function sizesMB(db: Pool): Promise<Record<string, number>> {
  const { rows } = await db.query<{ name: string; mb: number }>(
    `select relname as name, (pg_relation_size(oid) / 1e6)::int as mb from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'i') and pg_relation_size(oid) > 1e6 order by 2 desc`,
  );
  return Object.fromEntries(rows.map(({ name, mb }) => [name, mb]));
}

/** What `work` gives, and the seconds that it takes. */
async function took<T>(work: () => Promise<T>): Promise<[T, number]> {
  const begun = performance.now();
  const answer = await work();
  return [answer, (performance.now() - begun) / 1_000];
}
