import { spawnSync } from "node:child_process";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import type { Config } from "../../src/config.ts";
import { createToken } from "../../src/http/tokens.ts";
import { listFolder } from "../../src/image/folder.ts";
import { Scope } from "../../src/lifecycle.ts";
import { packageRoot } from "../../src/package-root.ts";
import type { Lane, PhotoRef } from "../../src/photo.ts";
import { readWorkers } from "../../src/store/models.ts";
import { addToken } from "../../src/store/tokens.ts";
import { askerOf, judged } from "../desk.ts";
import { BACKENDS, type Database, rows, test } from "../fixtures.ts";
import { maitred, type Running } from "../maitred.ts";
import { until } from "../waits.ts";

const samples = inject("samples");

/** Of a worker that judges what another left. */
const QUICK = { MAITRED_MODEL: inject("idleModel") };

/** The settings of a worker's process for the same database and queue as `config`. */
const envOf = (config: Config, folder: string): Record<string, string> => ({
  DATABASE_URL: config.databaseUrl,
  MAITRED_QUEUE_URL: config.queueUrl,
  MAITRED_QUEUE_PREFIX: config.queuePrefix,
  MAITRED_FOLDERS: folder,
  MAITRED_LOCK_MS: "1500",
  MAITRED_PROVIDER: "cpu",
});

async function queueCopies(config: Config, folder: string, copies: number): Promise<void> {
  const names = readdirSync(samples);
  for (let n = 0; n < copies; n++)
    copyFileSync(join(samples, names[n % names.length]!), join(folder, `${n}.jpg`));
  const photos: PhotoRef[] = [];
  for await (const page of listFolder(folder)) photos.push(...page);
  // both lanes have a backlog, so that neither may stand in front of the other's drain
  await queue(config, photos.slice(copies / 2), "backfill");
  await queue(config, photos.slice(0, copies / 2), "live");
}

async function queue(config: Config, photos: PhotoRef[], lane: Lane): Promise<string[]> {
  const scope = new Scope();
  const { ids } = await openIntake(config, scope, () => {}).take(photos, lane);
  await scope.close();
  return ids;
}

const counts = async (db: Database): Promise<{ pending: number; verdicts: number; photos: number }> => {
  const { rows } = await db.pool.query(`select
    (select count(*)::int from photos where state = 'pending') as pending,
    (select count(*)::int from verdicts) as verdicts,
    (select count(distinct photo_id)::int from verdicts) as photos`);
  return rows[0];
};

describe.each(BACKENDS)("workers on %s", (backend) => {
  test("kill -9 in the middle of a batch loses nothing: another worker judges the rest, each once", async ({
    db,
    folder,
    configFor,
  }) => {
    const config = configFor(backend);
    await queueCopies(config, folder, 90);
    const victim = maitred(["worker"], envOf(config, folder));
    await until(async () => (await counts(db)).verdicts > 0);
    victim.child.kill("SIGKILL");
    expect(await victim.exit).toBe("SIGKILL");
    expect((await counts(db)).pending).toBeGreaterThan(0);

    const heir = maitred(["worker"], envOf(config, folder));
    await until(async () => (await counts(db)).pending === 0);
    heir.child.kill("SIGTERM");
    expect(await heir.exit).toBe(0);
    expect(await counts(db)).toEqual({ pending: 0, verdicts: 90, photos: 90 });
  });

  test("SIGTERM drains what is in hand and exits 0; the rest stays queued for the next", async ({
    db,
    folder,
    configFor,
  }) => {
    const config = configFor(backend);
    await queueCopies(config, folder, 120);
    const first = maitred(["worker"], envOf(config, folder));
    await until(async () => (await counts(db)).verdicts > 0);
    await until(async () => (await readWorkers(db.pool)).length === 1);
    first.child.kill("SIGTERM");
    expect(await first.exit).toBe(0);
    expect(await readWorkers(db.pool)).toEqual([]);
    const between = await counts(db);
    expect(between.pending).toBeGreaterThan(0);
    const second = maitred(["worker"], { ...envOf(config, folder), ...QUICK });
    await until(async () => (await counts(db)).pending === 0);
    second.child.kill("SIGTERM");
    expect(await second.exit).toBe(0);
    expect((await counts(db)).verdicts).toBe(120);
  });
});

// only Linux can change what another process may open
test.skipIf(process.platform !== "linux")(
  "a worker that has no descriptor left fails no photo for it, however often, and judges all once it has",
  async ({ db, folder, configFor }) => {
    const config = configFor(BACKENDS[0]!);
    const once = { MAITRED_ATTEMPTS: "1", MAITRED_PATIENCE_MS: "0", MAITRED_DUPLICATES: "each" };
    const worker = maitred(["worker"], {
      ...envOf(config, folder),
      ...once,
      ...QUICK,
      MAITRED_LOG_LEVEL: "info",
    });
    await worker.says("taking photos");
    const { pid } = worker.child;
    const mayOpen = (files: number) => spawnSync("prlimit", [`--pid=${pid}`, `--nofile=${files}:4096`]);
    const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
    const free = Array.from({ length: open.size + 1 }, (_, n) => n).find((n) => !open.has(n))!;
    expect(mayOpen(free).status).toBe(0);
    // whether the folder of a photo that is not there is away cannot be seen either
    const [gone] = await queue(
      config,
      [{ store: "folder", bucket: folder, key: "none.jpg", version: "" }],
      "live",
    );
    await worker.says(`"photo":"${gone}",`);
    await queueCopies(config, folder, 12);
    await worker.says("EMFILE: too many open files, open");
    mayOpen(4096);
    await until(async () => (await counts(db)).pending === 0);
    expect(await rows(db, "select key, code from failed_photos")).toEqual([
      { key: "none.jpg", code: "GONE" },
    ]);
    worker.child.kill("SIGTERM");
    expect(await worker.exit).toBe(0);
  },
);

const isRoot = process.getuid?.() === 0;
// no limit of threads holds for root. What may be read stays as it is, also where access(2) is asked, which the secure bit is for
const asAnybody = isRoot
  ? [
      ...["setpriv", "--reuid=65534", "--clear-groups", "--securebits=+no_setuid_fixup"],
      ...["--inh-caps=+dac_override", "--ambient-caps=+dac_override"],
    ]
  : [];

/** From here on no thread can be begun in it, until what this answers is called. */
function refuseThreads({ child }: Running): () => void {
  const prlimit = (...args: string[]) =>
    spawnSync("prlimit", [`--pid=${child.pid}`, ...args], {
      encoding: "utf8",
      ...(isRoot && { uid: 65_534 }),
    });
  const most = prlimit("--nproc", "--output=HARD", "--noheadings").stdout.trim();
  expect(prlimit("--nproc=1:").status).toBe(0);
  return () => void prlimit(`--nproc=${most}:`);
}

test.skipIf(process.platform !== "linux")(
  "the desk draws its first picture where no other thread can be begun",
  async ({ db, folder, configFor }) => {
    copyFileSync(join(samples, "menu-1.jpg"), join(folder, "0.jpg"));
    const [id] = await judged(db, [{ key: "0.jpg" }]);
    await db.pool.query("update photos set store = 'folder', bucket = $1, version = ''", [folder]);
    const { token, ...kept } = createToken();
    await addToken(db.pool, { ...kept, name: "ann", scopes: ["review"] });
    const env = { ...envOf(configFor("postgres"), folder), MAITRED_API_PORT: "0", MAITRED_LOG_LEVEL: "info" };
    const api = maitred(["api"], env, asAnybody);
    await api.says("the API answers");
    const url = /"url":"([^"]+)"/.exec(api.stderr())![1]!;
    const { headers } = await askerOf(url, "")("POST", "/desk/api/session", { token });
    const ask = askerOf(url, headers.getSetCookie()[0]!.split(";")[0]!);
    const { small } = (await ask("GET", `/desk/api/photos/${id}`)).body.links;
    refuseThreads(api);
    const { status, body } = await ask("GET", small);
    expect(status).toBe(200);
    expect(await sharp(body).metadata()).toMatchObject({ format: "jpeg" });
    api.child.kill("SIGTERM");
    expect(await api.exit).toBe(0);
  },
);

test.skipIf(process.platform !== "linux")(
  "a worker whose machine has no other thread fails no photo for it, of whatever format, and judges all once it has",
  async ({ db, folder, configFor }) => {
    const config = configFor(BACKENDS[0]!);
    const once = { MAITRED_ATTEMPTS: "1", MAITRED_PATIENCE_MS: "0", MAITRED_LOG_LEVEL: "info" };
    const worker = maitred(["worker"], { ...envOf(config, folder), ...once }, asAnybody);
    await worker.says("taking photos");
    const mayThread = refuseThreads(worker);
    copyFileSync(join(packageRoot(), "test/photos/menu.heic"), join(folder, "a.heic"));
    // what a profile changes is asked of the decoder, too
    const photo = sharp(join(samples, "menu-1.jpg")).resize(600).withIccProfile("p3");
    for (const format of ["webp", "avif", "png", "gif"] as const)
      await photo
        .clone()
        .toFormat(format)
        .toFile(join(folder, `a.${format}`));
    await queueCopies(config, folder, 6);
    await worker.says("the thread did not start");
    for (const { id } of await rows(db, "select id from photos where key <> 'a.heic'"))
      await worker.says(`"photo":"${id}",`);
    mayThread();
    await until(async () => (await counts(db)).pending === 0);
    expect(await rows(db, "select * from failed_photos")).toEqual([]);
    worker.child.kill("SIGTERM");
    expect(await worker.exit).toBe(0);
  },
);

describe("a worker's end", () => {
  test("a second signal exits 1 at once", async ({ db, folder, configFor }) => {
    const config = configFor(BACKENDS[0]!);
    await queueCopies(config, folder, 120);
    const worker = maitred(["worker"], envOf(config, folder));
    await until(async () => (await counts(db)).verdicts > 0);
    worker.child.kill("SIGTERM");
    worker.child.kill("SIGINT");
    expect(await worker.exit).toBe(1);
  });

  test("a signal during the start ends it cleanly", async ({ db, folder, configFor }) => {
    const config = configFor(BACKENDS[0]!);
    const worker = maitred(["worker"], { ...envOf(config, folder), MAITRED_LOG_LEVEL: "info" });
    // connected to the queue, and the model on its way
    await until(
      async () =>
        (
          await db.pool.query(
            "select from pg_stat_activity where application_name = 'maitred' and datname = current_database()",
          )
        ).rowCount! > 0,
    );
    worker.child.kill("SIGTERM");
    expect(await worker.exit).toBe(0);
  });

  test("a worker does not start on a database that was not migrated, and nothing is queued there", async ({
    db,
  }) => {
    await db.pool.query("drop table pgmigrations");
    const worker = maitred(["worker"], { DATABASE_URL: db.url });
    expect(await worker.exit).toBe(2);
    expect(worker.stderr()).toContain("run maitred migrate first");
    const enqueue = maitred(["enqueue", "s3://b/k"], { DATABASE_URL: db.url });
    expect(await enqueue.exit).toBe(2);
    expect(enqueue.stderr()).toContain("run maitred migrate first");
  });
});
