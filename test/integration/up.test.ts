import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { describe, expect, inject } from "vitest";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { test as base, rows } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { type Receiver, startReceiver } from "../receiver.ts";

const test = base.extend<{ home: string; s3: string; taken: number; receiver: Receiver }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  home: async ({}, use) => {
    const home = mkdtempSync(join(tmpdir(), "maitred-home-"));
    await use(home);
    rmSync(home, { recursive: true, force: true });
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  s3: async ({}, use) => {
    const server = await startFauxqs({ port: 0, logger: false });
    await use(`http://127.0.0.1:${server.port}`);
    await server.stop();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  taken: async ({}, use) => {
    const server = await occupy(0);
    await use((server.address() as { port: number }).port);
    server.close();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  receiver: async ({}, use) => {
    const receiver = await startReceiver();
    await use(receiver);
    await receiver.close();
  },
});

function occupy(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject).listen(port, "127.0.0.1", () => resolve(server));
  });
}

test("one process takes a photo of S3, judges it, tells of it, and finds the rest of the bucket", async ({
  home,
  s3,
  receiver,
}) => {
  const client = new S3Client({ endpoint: s3, region: "us-east-1", forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: "photos" }));
  const Body = readFileSync(join(inject("samples"), "landing-portrait-1.jpg"));
  const { ETag } = await client.send(new PutObjectCommand({ Bucket: "photos", Key: "42/a b.jpg", Body }));
  await client.send(new PutObjectCommand({ Bucket: "photos", Key: "41/old.jpg", Body }));
  client.destroy();

  const env = {
    MAITRED_HOME: home,
    MAITRED_S3_ENDPOINT: s3,
    MAITRED_API_PORT: "0",
    MAITRED_WEBHOOK_ALLOW: "127.0.0.1",
  };
  const up = maitred(["up"], env);
  await up.says("0 judged, 0 failed, 0 decided before; watching");
  expect(up.stderr().split("\n")[0]).toBe(`starting Postgres in ${home}`);
  expect(up.stderr()).toContain(
    `MAITRED_HOME='${home}' node bin/maitred.js enqueue s3://BUCKET/PREFIX/ queues them`,
  );
  const url = /the API answers at (\S+);/.exec(up.stderr())![1]!;
  const created = await ended(["token", "create", "--scopes", "ingest,read", "uploads"], env);
  expect(created.code).toBe(0);
  const authorization = `Bearer ${created.out.trim()}`;
  expect((await ended(["destination", "add", "webhook", receiver.url], env)).code).toBe(0);

  await up.says("/desk/#link=");
  const link = /signed in once within the hour: (\S+)/.exec(up.stderr())![1]!;
  expect(link.startsWith(`${url}/desk/#link=`)).toBe(true);
  const signedIn = await fetch(`${url}/desk/api/session`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-maitred-desk": "1" },
    body: JSON.stringify({ link: link.split("=")[1] }),
  });
  expect(await signedIn.json()).toMatchObject({ signedIn: true, roles: ["moderator", "operator"] });

  const told = await fetch(`${url}/v1/photos`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ bucket: "photos", key: "42/a b.jpg", etag: ETag, listing: "42" }),
  });
  expect(told.status).toBe(202);
  const { id } = (await told.json()) as { id: string };
  await up.says("hidden  s3://photos/42/a b.jpg");
  const read = await fetch(`${url}/v1/photos/${id}`, { headers: { authorization } });
  expect(await read.json()).toMatchObject({
    state: "hidden",
    verdict: "hidden",
    public: false,
    listing: "42",
  });
  expect(await (await fetch(`${url}/metrics`)).text()).toContain("maitred_events_total");
  expect((await ended(["backfill", "start", "s3://photos/", "--watch"], env)).code).toBe(0);
  await up.says("hidden  s3://photos/41/old.jpg");
  expect((await receiver.got(2)).map(({ message }) => message)).toMatchObject([
    { type: "photo.verdict", data: { key: "42/a b.jpg", state: "hidden" } },
    { type: "photo.verdict", data: { key: "41/old.jpg", state: "hidden" } },
  ]);

  expect((await ended(["backfill", "start", "--unchecked", "s3://nowhere/"], env)).code).toBe(0);
  await up.says("the backfill cannot go on and is paused (backfill 2): ");
  expect(up.stderr()).not.toMatch(/"level"|\n +at /);

  up.child.kill("SIGINT");
  expect(await up.exit).toBe(0);
});

test("where the usual port is in use, maitred up takes another one and says which", async ({
  db,
  folder,
  home,
}) => {
  // somebody else on this machine may have it already
  const usual = await occupy(7080).catch(() => undefined);
  const env = { MAITRED_HOME: home, DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") };
  const up = maitred(["up", folder], env);
  await up.says("the API answers at ");
  const url = /the API answers at (\S+);/.exec(up.stderr())![1]!;
  expect(new URL(url).port).not.toBe("7080");
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  up.child.kill("SIGINT");
  expect(await up.exit).toBe(0);
  usual?.close();
});

test("where a port that was asked for is in use, maitred up says so and what to do, and ends with 2", async ({
  db,
  folder,
  home,
  taken,
}) => {
  for (const name of ["MAITRED_API_PORT", "MAITRED_PORT"]) {
    const up = maitred(["up", folder], {
      MAITRED_HOME: home,
      DATABASE_URL: db.url,
      MAITRED_MODEL: inject("idleModel"),
      [name]: String(taken),
    });
    expect(await up.exit).toBe(2);
    expect(up.stderr()).toContain(
      `${name}: port ${taken} of 127.0.0.1 is in use: end what uses it, or set another`,
    );
  }
}, 60_000);

describe("what cannot be judged", () => {
  const sample = (to: string): void => copyFileSync(join(inject("samples"), "business-product-1.jpg"), to);

  test("is refused with what to do, and exit code 2", async ({ folder, home }) => {
    const file = join(folder, "a.jpg");
    sample(file);
    const colon = join(folder, "a:b");
    mkdirSync(colon);
    for (const [photos, MAITRED_HOME, message] of [
      [file, home, "a.jpg: expected a folder, got a file: maitred classify judges files"],
      [colon, home, "a:b: expected a folder without : in its path"],
      [folder, join(folder, "home"), `MAITRED_HOME: ${folder}/home lies in ${folder}`],
      [folder, folder, `MAITRED_HOME: ${folder} lies in ${folder}`],
    ] as const) {
      const up = await ended(["up", "--once", photos], { MAITRED_HOME });
      expect(up.code).toBe(2);
      expect(up.err).toContain(message);
    }
  });

  // other systems have no such names
  test.runIf(process.platform === "linux")(
    "is named where its name is not UTF-8, with exit code 1",
    async ({ db, folder, home }) => {
      sample(join(folder, "a.jpg"));
      sample(`${folder}/b.jpg`);
      writeFileSync(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9])]), "");
      const env = { MAITRED_HOME: home, DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") };
      for (const command of ["up --once", "enqueue"]) {
        const ended = maitred([...command.split(" "), folder], env);
        expect(await ended.exit).toBe(1);
        expect(ended.stderr()).toContain(`left out  ${folder}/caf\ufffd: its name is not UTF-8`);
      }
      expect((await db.pool.query("select state from photos")).rows).toEqual(
        Array(2).fill({ state: "shown" }),
      );
    },
  );

  test("is what lies behind links to folders, while it watches too", async ({ db, folder, home }) => {
    const outside = join(home, "outside");
    mkdirSync(outside);
    sample(join(outside, "a.jpg"));
    symlinkSync(outside, join(folder, "folder"));
    symlinkSync(join(inject("samples"), "menu-1.jpg"), join(folder, "link.jpg"));
    const env = {
      MAITRED_HOME: home,
      DATABASE_URL: db.url,
      MAITRED_API_PORT: "0",
      MAITRED_FOLDERS: inject("samples"),
      MAITRED_MODEL: inject("idleModel"),
    };
    const up = maitred(["up", folder], env);
    await up.says("link.jpg");
    sample(join(folder, "z.jpg"));
    await up.says("z.jpg");
    up.child.kill("SIGINT");
    expect(await up.exit).toBe(0);
    const { rows } = await db.pool.query("select key from photos order by key");
    expect(rows.map(({ key }) => key)).toEqual(["link.jpg", "z.jpg"]);
  });
});

describe("--once", () => {
  test("that is interrupted says how many photos are left, and exits as signals do", async ({
    db,
    folder,
    home,
    configFor,
  }) => {
    copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, "a.jpg"));
    const config = configFor("postgres");
    const server = openQueueServer(config, () => {});
    const queues = openQueues(server, () => {});
    await queues.pause("live");
    const env = { MAITRED_HOME: home, DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") };
    const up = maitred(["up", "--once", folder], env);
    await up.says("0/1 photos");
    up.child.kill("SIGINT");
    expect(await up.exit).toBe(130);
    expect(up.stderr()).toContain("1 photo not judged yet");
    expect(up.stderr()).toContain(
      "the lane live is paused, and nobody wrote down who did it; nothing of it is judged until maitred queue resume live\n",
    );
    await queues.resume("live");
    await queues.close();
    await server.close();
    const unread = maitred(["up", "--once", "--json", folder], env);
    unread.child.stdout!.destroy();
    expect(await unread.exit).toBe(141);
  });

  test("that was killed left photos that the next one judges, and counts once", async ({
    db,
    folder,
    home,
  }) => {
    const total = 60;
    for (let n = 0; n < total; n++)
      copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, `${n}.jpg`));
    const env = {
      ...{ MAITRED_HOME: home, DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") },
      ...{ MAITRED_LOCK_MS: "2000", MAITRED_DUPLICATES: "each" },
    };
    const killed = maitred(["up", "--once", folder], env);
    await expect
      .poll(async () => Number((await rows(db, "select count(*) from verdicts"))[0].count), { interval: 5 })
      .toBeGreaterThan(0);
    killed.child.kill("SIGKILL");
    await killed.exit;
    const next = maitred(["up", "--once", folder], env);
    expect(await next.exit).toBe(0);
    const [, judged, before] = next.stderr().match(/(\d+) judged, 0 failed, (\d+) decided before/)!;
    // the first that was committed may have been in hand still
    expect(Number(judged) + Number(before)).toBe(total);
  });

  test("is refused beside a worker that may not read the same folders", async ({ db, folder, home }) => {
    const env = { MAITRED_HOME: home, DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") };
    const worker = maitred(["worker"], { ...env, MAITRED_FOLDERS: home });
    const figures = async () => (await db.pool.query("select figures from model_workers")).rows[0]?.figures;
    await expect.poll(figures, { timeout: 20_000 }).toBeTruthy();
    const up = maitred(["up", "--once", folder], env);
    expect(await up.exit).toBe(2);
    expect(up.stderr()).toContain(`and may read ${home}, and this one ${folder}`);
    worker.child.kill("SIGTERM");
    expect(await worker.exit).toBe(0);
    expect(await maitred(["up", "--once", folder], env).exit).toBe(0);
  });
});

describe("the embedded Postgres", () => {
  const FLOCK = spawnSync("flock", ["--version"]).status === 0;
  const env = (home: string) => ({
    MAITRED_HOME: home,
    MAITRED_API_PORT: "0",
    // nothing is judged here, and the model that ships takes a second of a core to start
    MAITRED_MODEL: inject("idleModel"),
  });
  const lines = (): string[] =>
    spawnSync("ps", ["-eo", "pgid=,args="], { encoding: "utf8" }).stdout.split("\n");
  const processes = (home: string): string[] =>
    lines().filter((line) => line.includes(join(home, "postgres", "data")));
  /** Those that wait for its lock, which become something else once they have it. */
  const waiting = (home: string): string[] =>
    lines().filter((line) => /^ *\d+ flock /.test(line) && line.includes(join(home, "postgres", "lock")));

  test("is made anew where making it was interrupted", async ({ folder, home }) => {
    const first = maitred(["up", folder], env(home));
    const begun = () =>
      ["data", "data.new"].some((name) => existsSync(join(home, "postgres", name, "PG_VERSION")));
    await expect.poll(begun, { interval: 5, timeout: 20_000 }).toBe(true);
    first.child.kill("SIGKILL");
    process.kill(-Number.parseInt(processes(home)[0]!, 10), "SIGKILL");
    await first.exit;
    expect(await maitred(["up", "--once", folder], env(home)).exit).toBe(0);
  });

  test.runIf(FLOCK)(
    "is the next one's where its owner was killed while it was made",
    async ({ folder, home }) => {
      const first = maitred(["up", folder], env(home));
      await expect
        .poll(() => existsSync(join(home, "postgres", "data.new", "PG_VERSION")), {
          interval: 5,
          timeout: 20_000,
        })
        .toBe(true);
      // as slow as it may be
      const group = -Number.parseInt(processes(home)[0]!, 10);
      process.kill(group, "SIGSTOP");
      first.child.kill("SIGKILL");
      await first.exit;
      const next = maitred(["up", "--once", folder], env(home));
      await expect.poll(() => waiting(home), { timeout: 20_000 }).toHaveLength(1);
      const [waited] = waiting(home);
      await expect
        .poll(() => [undefined, waited].includes(waiting(home)[0]), { timeout: 20_000 })
        .toBe(false);
      process.kill(group, "SIGCONT");
      expect(await next.exit, next.stderr()).toBe(0);
      expect(processes(home)).toEqual([]);
    },
  );

  test("ends with maitred: as soon as it starts, and where its terminal is closed", async ({
    folder,
    home,
  }) => {
    const starting = maitred(["up", folder], env(home));
    await expect
      .poll(() => existsSync(join(home, "postgres", "owner")), { interval: 5, timeout: 20_000 })
      .toBe(true);
    starting.child.kill("SIGINT");
    expect(await starting.exit).toBe(0);
    await expect.poll(() => processes(home)).toEqual([]);
    const up = maitred(["up", folder], env(home));
    await up.says("watches");
    up.child.kill("SIGHUP");
    expect(await up.exit).toBe(0);
    expect(processes(home)).toEqual([]);
  });

  test("takes maitred with it, which says so and exits 3", async ({ folder, home }) => {
    const up = maitred(["up", folder], env(home));
    await up.says("watches");
    process.kill(-Number.parseInt(processes(home)[0]!, 10), "SIGKILL");
    expect(await up.exit).toBe(3);
    expect(up.stderr()).toContain("the embedded Postgres has ended, and maitred ends too");
  });

  test.runIf(FLOCK)(
    "has its files alone, whoever else runs where it cannot be seen",
    async ({ folder, home }) => {
      const up = maitred(["up", folder], env(home));
      await up.says("watches");
      const lock = join(home, "postgres", "lock");
      expect(spawnSync("flock", ["--nonblock", lock, "true"]).status).toBe(1);
      up.child.kill("SIGINT");
      expect(await up.exit).toBe(0);

      // as one of another container, whose processes are not seen here
      const other = spawn("flock", ["--no-fork", lock, "cat"]);
      other.stdin.write("it has the lock");
      await once(other.stdout, "data");
      const pidFile = join(home, "postgres", "data", "postmaster.pid");
      writeFileSync(pidFile, "4194304\n");
      const rival = maitred(["up", "--once", folder], env(home));
      expect(await rival.exit).toBe(2);
      expect(rival.stderr()).toContain("is in use by a Postgres that cannot be seen from here");
      expect(existsSync(pidFile)).toBe(true);
      const owner = join(home, "postgres", "owner");
      writeFileSync(owner, "4194304");
      const interrupted = maitred(["up", folder], env(home));
      await expect.poll(() => waiting(home), { timeout: 20_000 }).toHaveLength(1);
      interrupted.child.kill("SIGINT");
      expect(await interrupted.exit).toBe(0);
      expect(existsSync(owner)).toBe(true);
      other.stdin.end();
      await once(other, "close");
      expect(await maitred(["up", "--once", folder], env(home)).exit).toBe(0);
    },
  );
});
