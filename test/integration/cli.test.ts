import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { startFauxqs } from "fauxqs";
import { describe, expect, inject } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { migrate } from "../../src/store/migrate.ts";
import { test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";

const samples = inject("samples");

const COMMANDS = [
  "up",
  "worker",
  "api",
  "listen",
  "feed",
  "deliver",
  "enqueue",
  "queue",
  "backfill",
  "policy",
  "sweep",
  "forget",
  "events",
  "destination",
  "deliveries",
  "classify",
  "evaluate",
  "calibrate",
  "labels",
  "model",
  "token",
  "session",
  "migrate",
  "rollups",
  "doctor",
  "config",
];

describe("maitred", () => {
  test("says what commands there are", async () => {
    const overview = maitred(["--help"]);
    expect(await overview.exit).toBe(0);
    for (const name of COMMANDS) expect(overview.stdout()).toContain(`  ${name} `);
    const one = maitred(["help", "classify"]);
    expect([await one.exit, one.stdout().slice(0, 23)]).toEqual([0, "usage: maitred classify"]);
    expect(await maitred(["help", "frobnicate"]).exit).toBe(2);
  });

  test.for(COMMANDS)("%s explains itself", async (name) => {
    const command = await ended([name, "--help"]);
    expect(command.code).toBe(0);
    expect(command.out).toContain(`usage: maitred ${name}`);
  });

  test.for([
    [["frobnicate"], 'there is no command "frobnicate"\nmaitred --help lists them\n'],
    [["bakcfill", "list"], 'there is no command "bakcfill": did you mean backfill?\n'],
    [["constructor"], 'there is no command "constructor"'],
    [["token", "crate"], 'expected create, list or revoke, got "crate": did you mean create?\n'],
    [["token", "list", "foo"], 'expected nothing after list, got "foo"'],
    [["destination"], "expected add, list, rotate, catch-up, test, enable, disable or remove\n"],
    [["classify"], "expected at least one file or folder"],
    [
      ["classify", "x", "s3://b/k"],
      "classify reads files, got s3://b/k; for S3: maitred enqueue s3://bucket/key",
    ],
    [["classify", "--jsno", "x"], "there is no option --jsno: did you mean --json?\n"],
    [["enqueue", "--lane", "fast", "x"], "expected live or backfill"],
    [["enqueue", "s3://b/k", "../no-such/"], "../no-such/: there is no such file or folder"],
    [["enqueue", "s3://photos"], "expected s3://photos/ for the whole bucket, or s3://photos/prefix/"],
    [["enqueue", "package.json/a.jpg"], "package.json/a.jpg: there is no such file or folder"],
    [["queue"], "expected status, pause or resume\n"],
    [["queue", "status", "live"], 'expected nothing after status, got "live"'],
    [["queue", "pause", "--why", "x"], "expected live or backfill\n"],
    [["queue", "resume", "live", "backfill"], "expected live or backfill, got live backfill\n"],
    [["queue", "pause", "live"], "--why: expected why it is paused\n"],
    [["up", "--once"], "expected at least one folder"],
    [["up", "s3://photos/42/"], "beside it node bin/maitred.js enqueue s3://photos/42/"],
    ...["api", "config", "deliver", "doctor", "feed", "listen", "migrate", "worker"].map((name) => [
      [name, "photos"],
      'expected options only, got "photos"',
    ]),
  ] as const)("%j exits 2 and says what was expected", async ([args, message]) => {
    const command = await ended([...args]);
    expect(command.code).toBe(2);
    expect(command.err).toContain(message);
    expect(command.out).toBe("");
  });

  test("says that it is built, where it is not yet, and only once", async ({ folder }) => {
    const at = (path: string): string => join(folder, path);
    mkdirSync(at("bin"));
    copyFileSync(join(packageRoot(), "bin/maitred.js"), at("bin/maitred.js"));
    const build = "mkdir -p dist/src/cli && echo 'console.log(42)' > dist/src/cli/main.js && echo built";
    writeFileSync(at("package.json"), JSON.stringify({ type: "module", scripts: { build } }));
    for (const said of ["maitred: building once, which takes up to a minute ...\nbuilt\n", ""]) {
      const { stdout, stderr } = spawnSync(process.execPath, [at("bin/maitred.js")], { encoding: "utf8" });
      expect([stdout, stderr]).toEqual(["42\n", said]);
    }
  });

  test("says that Postgres cannot be reached, with exit code 3", async () => {
    const command = maitred(["enqueue", "s3://b/k"], { DATABASE_URL: "postgres://x:hunter2@127.0.0.1:1/x" });
    expect(await command.exit).toBe(3);
    expect(command.stderr()).not.toContain("hunter2");
  });

  test("says so too of one that does not speak, or not yet", async () => {
    const deaf = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
    await once(deaf, "listening");
    const { port } = deaf.address() as AddressInfo;
    for (const args of [
      ["backfill", "list"],
      ["sweep", "b"],
      ["token", "list"],
    ]) {
      const command = await ended(args, { DATABASE_URL: `postgres://x@127.0.0.1:${port}/x` });
      expect(command.code).toBe(3);
      expect(command.err).toContain("DATABASE_UNAVAILABLE: Postgres: ");
    }
    deaf.close();
  });

  test.concurrent("waits no longer than ten seconds for one that takes connections and says nothing", async ({
    expect,
  }) => {
    const mute = createServer().listen(0, "127.0.0.1");
    await once(mute, "listening");
    const { port } = mute.address() as AddressInfo;
    const url = `postgres://x@127.0.0.1:${port}/x`;
    const [{ code, err }, thrown] = await Promise.all([
      ended(["migrate"], { DATABASE_URL: url }),
      migrate(url, "maitred_queue").catch((error: unknown) => error),
    ]);
    expect([code, err]).toEqual([3, expect.stringContaining("QUEUE_UNAVAILABLE: Postgres: ")]);
    expect(thrown).toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    mute.close();
  });

  test.concurrent("says of a queue that cannot be reached why, and what to check", async ({ expect }) => {
    const here = await ended(["migrate"], { DATABASE_URL: "postgres://x:hunter2@127.0.0.1:1/x" });
    const redis = await ended(["enqueue", "s3://b/k"], {
      DATABASE_URL: "postgres://x@127.0.0.1:1/x",
      MAITRED_QUEUE_URL: "redis://:hunter2@127.0.0.1:1",
    });
    expect([here.code, redis.code]).toEqual([3, 3]);
    expect(here.err).toMatch(/QUEUE_UNAVAILABLE: Postgres: .*ECONNREFUSED.*: check .*DATABASE_URL/);
    expect(redis.err).toMatch(/QUEUE_UNAVAILABLE: Redis: .*ECONNREFUSED.*: check MAITRED_QUEUE_URL/);
    expect(here.err + redis.err).not.toContain("hunter2");
  });

  test("names every wrong setting, with exit code 2", async () => {
    const command = maitred(["config"], { MAITRED_MAX_BATCH: "x", MAITRED_PROVIDER: "y" });
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain("MAITRED_MAX_BATCH");
    expect(command.stderr()).toContain("MAITRED_PROVIDER");
  });
});

describe("doctor", () => {
  test("says what is missing and what to do, and exits 1", async ({ folder }) => {
    const env = {
      MAITRED_HOME: folder,
      MAITRED_MODEL: folder,
      DATABASE_URL: "postgres://x:hunter2@127.0.0.1:1/x",
      MAITRED_FOLDERS: `/nowhere:${join(samples, "menu-1.jpg")}`,
    };
    const command = await ended(["doctor"], env);
    expect(command.code).toBe(1);
    expect(command.out).toMatch(/FAIL +postgres +.*ECONNREFUSED/);
    expect(command.out).toMatch(/FAIL +queue +.*ECONNREFUSED.*: check [^:]*DATABASE_URL[^:]*$/m);
    expect(command.out).toMatch(/FAIL +model +.*MAITRED_MODEL/);
    expect(command.out).toMatch(/FAIL +folder \/nowhere/);
    expect(command.out).toMatch(/FAIL +folder .*menu-1.jpg +expected a folder, got a file/);
    expect(command.out).not.toContain("hunter2");
  });

  test("says that there is no such bucket, and why one cannot be asked", async ({ folder }) => {
    const s3 = await startFauxqs({ port: 0, logger: false });
    const MAITRED_MODEL = inject("idleModel");
    const bucket = async (MAITRED_S3_ENDPOINT: string) => {
      const env = {
        MAITRED_HOME: folder,
        MAITRED_S3_ENDPOINT,
        MAITRED_MODEL,
        MAITRED_FETCH_TIMEOUT_MS: "500",
      };
      const command = await ended(["doctor", "--bucket", "phtos"], env);
      expect(command.code).toBe(1);
      expect(command.out).not.toMatch(/(Photo|Upstream|Config)Error/);
      return command.out.split("\n").find((line) => line.includes("bucket phtos"));
    };
    expect(await bucket(s3.address)).toMatch(
      /^FAIL +bucket phtos +there is no such bucket: check its name and MAITRED_S3_ENDPOINT$/,
    );
    await s3.stop();
    expect(await bucket(s3.address)).toMatch(/^FAIL +bucket phtos +phtos\/: .*ECONNREFUSED/);
    const silent = createHttpServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    expect(await bucket(`http://127.0.0.1:${port}`)).toMatch(/^FAIL +bucket phtos +phtos\/: TimeoutError/);
    silent.removeAllListeners("request").on("request", ({ method }, answer) => {
      answer.writeHead(200, { "content-type": "application/xml" });
      if (method === "HEAD") answer.end();
      else answer.write("<?xml");
    });
    expect(await bucket(`http://127.0.0.1:${port}`)).toMatch(
      /^FAIL +bucket phtos +.*no whole page of its list came/,
    );
    silent.closeAllConnections();
    silent.close();
  }, 60_000);

  test("says that versions may not be listed, where tags need it", async ({ db }) => {
    const s3 = createHttpServer(({ url }, response) => {
      const { pathname, searchParams: asked } = new URL(url!, "http://s3");
      const [, bucket, key] = pathname.split("/");
      if (asked.has("versions") && bucket !== "allowed")
        return void response.writeHead(403).end("<Error><Code>AccessDenied</Code></Error>");
      if (key && bucket !== "plain") response.setHeader("x-amz-version-id", "1");
      response.end(
        asked.has("list-type")
          ? "<ListBucketResult><Contents><Key>a.jpg</Key></Contents></ListBucketResult>"
          : "<ListVersionsResult/>",
      );
    });
    s3.listen(0, "127.0.0.1");
    await once(s3, "listening");
    const add = (id: string, kind: string, bucket: string, enabled = true) =>
      db.pool.query("insert into destinations (id, kind, bucket, enabled) values ($1, $2, $3, $4)", [
        id,
        kind,
        bucket,
        enabled,
      ]);
    for (const bucket of ["refused", "allowed", "plain"]) await add(bucket, "s3-tags", bucket);
    await add("off", "s3-tags", "untagged", false);
    await add("other", "notify", "untagged");
    const buckets = ["refused", "allowed", "plain", "untagged"];
    const command = await ended(["doctor", ...buckets.flatMap((bucket) => ["--bucket", bucket])], {
      DATABASE_URL: db.url,
      MAITRED_S3_ENDPOINT: `http://127.0.0.1:${(s3.address() as AddressInfo).port}`,
    });
    s3.close();
    expect(command.out.split("\n").filter((line) => line.includes("bucket "))).toEqual([
      expect.stringMatching(/^FAIL +bucket refused +.*: allow s3:ListBucketVersions/),
      expect.stringMatching(/^ok +bucket allowed +can be listed and read$/),
      expect.stringMatching(/^ok +bucket plain +can be listed and read$/),
      expect.stringMatching(/^ok +bucket untagged +can be listed and read$/),
    ]);
  });

  test("says why Postgres cannot be written to", async ({ db }) => {
    const MAITRED_MODEL = inject("idleModel");
    for (const [options, why] of [
      ["-c default_transaction_read_only=on", "transaction_read_only is on"],
      [
        "-c role=maitred_dashboard",
        "the role maitred_dashboard lacks select on pgmigrations, insert on photos",
      ],
      ["-c role=maitred_worker", "a worker may write"],
    ] as const) {
      const url = new URL(db.url);
      url.searchParams.set("options", options);
      const command = await ended(["doctor", "--json"], { DATABASE_URL: url.href, MAITRED_MODEL });
      const findings: { check: string; ok: boolean; detail: string }[] = JSON.parse(command.out);
      expect(findings.find(({ check }) => check === "postgres")).toMatchObject({
        ok: options.includes("worker"),
        detail: expect.stringContaining(why),
      });
    }
    // as a disk answers that is full
    await db.pool.query(`create function no_room() returns event_trigger language plpgsql as $$
      begin raise exception 'No space left on device' using errcode = '53100'; end $$`);
    await db.pool.query(
      "create event trigger no_room on ddl_command_end when tag in ('CREATE TABLE AS') execute function no_room()",
    );
    const full = await ended(["doctor"], { DATABASE_URL: db.url, MAITRED_MODEL });
    expect(full.out).toMatch(
      /^FAIL +postgres +its disk is full: make room there.*: No space left on device$/m,
    );
  }, 60_000);
});
