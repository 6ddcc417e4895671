import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import pg from "pg";
import { describe, expect, inject } from "vitest";
import { isAlive } from "../../src/embedded/processes.ts";
import { packageRoot } from "../../src/package-root.ts";
import { policyIdOf } from "../../src/policy-id.ts";
import { BACKENDS, queueUrl, test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { startProxy } from "../proxy.ts";
import { judge, register, removeObject } from "../verdicts.ts";

const samples = inject("samples");
const jsonLines = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

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
    [["up"], "expected at least one folder"],
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

  test("says of a queue that cannot be reached why, and what to check", async () => {
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

describe("classify", () => {
  test("prints one object a line in the order given, goes on after bad files, and exits 1 for them", async ({
    folder,
  }) => {
    const deep = join(folder, "a", "b");
    mkdirSync(deep, { recursive: true });
    copyFileSync(join(samples, "business-product-1.jpg"), join(deep, "coffee.txt"));
    writeFileSync(join(deep, "bad.jpg"), "words");
    writeFileSync(join(deep, ".hidden"), "");
    symlinkSync("nowhere", join(deep, "dangling.jpg"));
    const menu = join(samples, "menu-1.jpg");
    const command = maitred(["classify", "--json", menu, folder, join(folder, "nowhere.jpg")]);
    expect(await command.exit).toBe(1);
    const lines = jsonLines(command.stdout());
    expect(lines.map(({ path }) => path)).toEqual([
      menu,
      ...["bad.jpg", "coffee.txt", "dangling.jpg"].map((name) => join(deep, name)),
      join(folder, "nowhere.jpg"),
    ]);
    expect(lines.map(({ error }) => error?.code)).toEqual([
      undefined,
      "UNSUPPORTED_FORMAT",
      undefined,
      "GONE",
      "GONE",
    ]);
    const policy = policyIdOf(readFileSync(join(packageRoot(), "policy.yaml"), "utf8"));
    const said = { category: "menu", verdict: "review", rule: "verify", model: "restaurant-4", policy };
    expect(lines[0]).toMatchObject(said);
    expect(lines[0].tags).toContainEqual({ category: "menu", score: lines[0].scores.menu, threshold: 0.15 });
    expect(Object.keys(lines[0])).toEqual([
      "path",
      "category",
      "scores",
      "human",
      "tags",
      "verdict",
      "rule",
      "reason",
      "model",
      "policy",
    ]);
    expect(Object.keys(lines[0].scores)).toEqual(["food", "ambience", "menu", "other"]);
    expect(
      lines[0].scores.food + lines[0].scores.ambience + lines[0].scores.menu + lines[0].scores.other,
    ).toBeCloseTo(1, 2);
  });

  test("says no rate where nothing was judged", async ({ folder }) => {
    const command = await ended(["classify", join(folder, "nowhere.jpg")]);
    expect(command.code).toBe(1);
    expect(command.err).toMatch(/^0 judged, 1 not, on c/);
  });

  test("says that there is no photo where there is none, and exits 2", async ({ folder }) => {
    const command = await ended(["classify", folder]);
    expect(command.code).toBe(2);
    expect(command.err).toContain(`no photos in ${folder}`);
  });

  test("exits 0 when every file was judged, and follows another policy", async ({ folder }) => {
    const policy = join(folder, "policy.yaml");
    writeFileSync(
      policy,
      "version: 1\nhuman: { hide: 1, review: 1 }\ncategories: { food: 0, ambience: 0, menu: 0, other: 0 }\nverify: []\n",
    );
    const command = await ended(["classify", "--json", join(samples, "landing-portrait-1.jpg")], {
      MAITRED_POLICY: policy,
    });
    expect(command.code).toBe(0);
    expect(jsonLines(command.out)[0]).toMatchObject({ verdict: "shown" });
  });

  test("scores are cut, so that none reads as having reached a threshold that it did not reach", async ({
    folder,
  }) => {
    const settings = { MAITRED_MODEL: makeModel(folder, "near-1", { human: 0.49996 }) };
    const photo = join(samples, "menu-1.jpg");
    const [text, json] = [
      ["classify", photo],
      ["classify", "--json", photo],
    ].map((args) => maitred(args, settings));
    expect(await text!.exit, text!.stderr()).toBe(0);
    expect(text!.stdout()).toMatch(/ human 0\.49 .* human 0\.49 is between 0\.08 and 0\.50/);
    expect(await json!.exit, json!.stderr()).toBe(0);
    expect(jsonLines(json!.stdout())[0].human).toBe(0.4999);
  });

  test("judges as many files as a pattern of the shell names, and tells nobody of it", async ({ folder }) => {
    const paths = Array.from({ length: 520 }, (_, n) => join(folder, `a-photo-that-is-not-there-${n}.jpg`));
    // where CI is set the runtime keeps quiet by itself
    const command = maitred(["classify", "--json", ...paths], { CI: "", TMPDIR: folder });
    expect(await command.exit).toBe(1);
    expect(jsonLines(command.stdout())).toHaveLength(520);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("refuses a model whose file is not the one that was measured", async ({ folder }) => {
    writeFileSync(join(folder, "model.onnx"), "x");
    const model = {
      name: "m",
      version: "1",
      files: { "model.onnx": { sha256: "0".repeat(64) } },
      input: { side: 224, fit: "squash" },
      categories: ["a", "b"],
    };
    writeFileSync(join(folder, "model.json"), JSON.stringify(model));
    const command = await ended(["classify", join(samples, "menu-1.jpg")], { MAITRED_MODEL: folder });
    expect(command.code).toBe(2);
    expect(command.err).toContain("expected sha256");
  });
});

describe("up", () => {
  const home = (): string => mkdtempSync(join(tmpdir(), "maitred-home-"));

  test("--once judges a folder with everything embedded, prints a table, and exits 0", async () => {
    const MAITRED_HOME = home();
    const first = maitred(["up", "--once", samples], { MAITRED_HOME });
    expect(await first.exit).toBe(0);
    const table = first.stdout().trim().split("\n");
    expect(table[0]).toMatch(/^photo +category +score +human +verdict +reason$/);
    expect(table).toHaveLength(readdirSync(samples).length + 1);
    expect(first.stdout()).toMatch(/landing-portrait-1.jpg +\w+ +[01]\.\d\d +\d\.\d\d +hidden/);
    expect(first.stderr()).toMatch(/22 judged, 0 failed, 0 decided before, [\d.]+ photos\/s with/);
    expect(first.stderr()).toMatch(/\d+ batches, [\d.]+ photos each on average/);
    expect(first.stderr()).toMatch(
      /milliseconds a photo, .*: fetch [\d.]+ of 22, lookup [\d.]+ of 22, decode/,
    );

    const again = maitred(["up", "--once", "--json", samples], { MAITRED_HOME });
    expect(await again.exit).toBe(0);
    expect(again.stderr()).toContain("0 judged, 0 failed, 22 decided before, with");
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("stays, judges what is dropped in, lets other commands see its state, and drains on SIGINT", async ({
    folder,
  }) => {
    const MAITRED_HOME = join(home(), "Ann's");
    const up = maitred(["up", folder], { MAITRED_HOME });
    await up.says("has queries");
    const beside = up.stderr().match(/MAITRED_HOME='.*'(?= maitred token create)/)?.[0];
    expect(execFileSync("sh", ["-c", `${beside}; printf %s "$MAITRED_HOME"`]).toString()).toBe(MAITRED_HOME);
    expect(up.stderr()).toContain(`psql "$(${beside} npx maitred config --database-url)"`);
    copyFileSync(join(samples, "landing-portrait-1.jpg"), join(folder, "portrait.jpg"));
    await up.says(`hidden  ${folder}/portrait.jpg`);
    writeFileSync(join(folder, "broken.jpg"), "words");
    await up.says(`failed  ${folder}/broken.jpg  UNSUPPORTED_FORMAT`);

    const replay = await ended(["enqueue", "--failed", "--json"], { MAITRED_HOME });
    expect(replay.code).toBe(0);
    expect(JSON.parse(replay.out)).toEqual({ queued: 1, decided: 0, unclear: 0 });
    const known = await ended(["enqueue", "--json", folder], { MAITRED_HOME });
    expect(known.code).toBe(0);
    expect(JSON.parse(known.out)).toEqual({ queued: 1, decided: 1, unclear: 0 });
    const doctor = await ended(["doctor", "--json"], { MAITRED_HOME });
    expect(doctor.code).toBe(0);
    expect(JSON.parse(doctor.out).map(({ ok }: { ok: boolean }) => ok)).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
    const address = await ended(["config", "--database-url"], { MAITRED_HOME });
    expect(address.code).toBe(0);
    const client = new pg.Client(address.out.trim());
    await client.connect();
    const { rows } = await client.query(
      "select verdict, sum(photos)::int as photos from daily_counts group by 1 order by 1",
    );
    await client.end();
    expect(rows).toEqual([
      { verdict: "failed", photos: 1 },
      { verdict: "hidden", photos: 1 },
    ]);
    const rival = maitred(["up", folder], { MAITRED_HOME });
    expect(await rival.exit).toBe(2);
    expect(rival.stderr()).toContain("is in use");

    up.child.kill("SIGINT");
    expect(await up.exit).toBe(0);
    rmSync(dirname(MAITRED_HOME), { recursive: true });
  });

  test("withdraws photos whose files were deleted or renamed, also while nothing ran, and judges a new name", async ({
    folder,
    db,
  }) => {
    const MAITRED_HOME = home();
    const env = { MAITRED_HOME, DATABASE_URL: db.url, MAITRED_API_PORT: "0" };
    const photos = async () => {
      const { rows } = await db.pool.query(
        "select key || case when superseded_at is null then '' else ' gone' end as photo from photos order by key",
      );
      return rows.map(({ photo }) => photo);
    };
    mkdirSync(join(folder, "42"));
    for (const name of ["a", "b", "42/c"]) {
      copyFileSync(join(samples, "business-product-1.jpg"), join(folder, `${name}.jpg`));
    }
    const first = maitred(["up", folder], env);
    await first.says("watches");
    for (const name of ["a", "b", "42/c"]) await first.says(`  ${folder}/${name}.jpg`);
    await first.says("3 judged, 0 failed, 0 decided before; watching");
    rmSync(join(folder, "a.jpg"));
    await first.says(`withdrawn  ${folder}/a.jpg`);
    renameSync(join(folder, "42"), join(folder, "43"));
    await first.says(`withdrawn  ${folder}/42/c.jpg`);
    await first.says(`  ${folder}/43/c.jpg`);
    expect(await photos()).toEqual(["42/c.jpg gone", "43/c.jpg", "a.jpg gone", "b.jpg"]);
    copyFileSync(join(samples, "business-product-1.jpg"), join(folder, "a.jpg"));
    await expect.poll(photos, { timeout: 10_000 }).toContain("a.jpg");
    first.child.kill("SIGINT");
    expect(await first.exit).toBe(0);

    rmSync(join(folder, "b.jpg"));
    const second = maitred(["up", "--once", folder], env);
    expect(await second.exit).toBe(0);
    expect(second.stderr()).toContain(`withdrawn  ${folder}/b.jpg`);
    expect(await photos()).toContain("b.jpg gone");
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("withdraws nothing of a folder that is empty, as one is that is not mounted, and says what to do", async ({
    folder,
    db,
  }) => {
    const MAITRED_HOME = home();
    const env = { MAITRED_HOME, DATABASE_URL: db.url, MAITRED_API_PORT: "0" };
    copyFileSync(join(samples, "business-product-1.jpg"), join(folder, "a.jpg"));
    const up = maitred(["up", folder], env);
    await up.says(`  ${folder}/a.jpg`);
    rmSync(join(folder, "a.jpg"));
    await up.says("put any file there, such as .keep");
    up.child.kill("SIGINT");
    expect(await up.exit).toBe(0);
    const again = maitred(["up", "--once", folder], env);
    expect([await again.exit, again.stdout()]).toEqual([0, ""]);
    expect(again.stderr()).toContain(`no photos in ${folder}\n`);
    expect(again.stderr()).toContain("is empty or away");
    const current = "select key from photos where superseded_at is null";
    expect((await db.pool.query(current)).rows).toEqual([{ key: "a.jpg" }]);
    writeFileSync(join(folder, ".keep"), "");
    expect(await maitred(["up", "--once", folder], env).exit).toBe(0);
    expect((await db.pool.query(current)).rows).toEqual([]);
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("takes over the server that a killed one left running, however its home is named", async ({
    folder,
  }) => {
    const MAITRED_HOME = home();
    const first = maitred(["up", folder], { MAITRED_HOME });
    await first.says("watches");
    const [server] = readFileSync(join(MAITRED_HOME, "postgres/data/postmaster.pid"), "utf8").split("\n");
    first.child.kill("SIGKILL");
    await first.exit;
    copyFileSync(join(samples, "menu-1.jpg"), join(folder, "menu.jpg"));
    const link = `${MAITRED_HOME}-link`;
    symlinkSync(MAITRED_HOME, link);
    const second = maitred(["up", "--once", folder], { MAITRED_HOME: link });
    expect(await second.exit).toBe(0);
    expect(second.stdout()).toMatch(/menu.jpg +menu/);
    expect(isAlive(Number(server))).toBe(false);
    rmSync(link);
    rmSync(MAITRED_HOME, { recursive: true });
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
    const bucket = async (MAITRED_S3_ENDPOINT: string) => {
      const env = { MAITRED_HOME: folder, MAITRED_S3_ENDPOINT };
      const command = maitred(["doctor", "--bucket", "phtos"], env);
      expect(await command.exit).toBe(1);
      expect(command.stdout()).not.toMatch(/(Photo|Upstream|Config)Error/);
      return command
        .stdout()
        .split("\n")
        .find((line) => line.includes("bucket phtos"));
    };
    expect(await bucket(s3.address)).toMatch(
      /^FAIL +bucket phtos +there is no such bucket: check its name and MAITRED_S3_ENDPOINT$/,
    );
    await s3.stop();
    expect(await bucket(s3.address)).toMatch(/^FAIL +bucket phtos +phtos\/: .*ECONNREFUSED/);
  }, 60_000);

  test("says why Postgres cannot be written to", async ({ db }) => {
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
      const command = await ended(["doctor", "--json"], { DATABASE_URL: url.href });
      const findings: { check: string; ok: boolean; detail: string }[] = JSON.parse(command.out);
      expect(findings.find(({ check }) => check === "postgres")).toMatchObject({
        ok: options.includes("worker"),
        detail: expect.stringContaining(why),
      });
    }
  }, 60_000);
});

describe("enqueue", () => {
  test("queues what stdin lists and is there, with what is known of it, once", async ({ db, folder }) => {
    for (const name of ["a.jpg", "b.jpg"]) copyFileSync(join(samples, "menu-1.jpg"), join(folder, name));
    const env = {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: queueUrl(BACKENDS[0]!, db),
      MAITRED_QUEUE_PREFIX: BACKENDS[0] === "redis" ? db.url.slice(-10) : "maitred_queue",
    };
    for (const _ of [1, 2]) {
      const command = await ended(
        ["enqueue", "--json", "--listing", "42", "--uploader", "user", "--lane", "backfill", "-"],
        env,
        `${folder}/a.jpg\n\n${folder}/missing.jpg\n${folder}/b.jpg\n`,
      );
      expect(command.code).toBe(1);
      expect(command.err).toContain(`left out  ${folder}/missing.jpg: there is no such file or folder\n`);
      expect(JSON.parse(command.out)).toEqual({ queued: 2, decided: 0, unclear: 0 });
      expect(command.err).toContain(`${folder} is not in MAITRED_FOLDERS here`);
    }
    const allowed = await ended(["enqueue", join(folder, "a.jpg")], { ...env, MAITRED_FOLDERS: folder });
    expect([allowed.code, allowed.err]).toEqual([0, ""]);
    const { rows } = await db.pool.query(
      "select key, listing, uploader, lane, state from photos order by key",
    );
    expect(rows).toEqual(
      ["a.jpg", "b.jpg"].map((key) => ({
        key,
        listing: "42",
        uploader: "user",
        lane: "backfill",
        state: "pending",
      })),
    );
  });

  test("says that a folder has no photo, and names links in it that lead nowhere", async ({ db, folder }) => {
    const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url };
    writeFileSync(join(folder, ".DS_Store"), "");
    const empty = await ended(["enqueue", folder], env);
    expect([empty.code, empty.out]).toEqual([2, ""]);
    expect(empty.err).toContain(`expected photos, got none in ${folder}`);
    const nothing = await ended(["enqueue", "-"], env);
    expect([nothing.code, nothing.out]).toEqual([0, "0 queued\n"]);
    symlinkSync("nowhere", join(folder, "a.jpg"));
    const dangling = await ended(["enqueue", folder], env);
    expect([dangling.code, dangling.out]).toEqual([1, "0 queued\n"]);
    expect(dangling.err).toContain(`left out  ${folder}/a.jpg: a link to nothing\n`);
  });

  test("leaves out an object that is not there, and names it", async ({ db }) => {
    const s3 = await startFauxqs({ port: 0, logger: false });
    s3.createBucket("photos");
    const client = new S3Client({ endpoint: s3.address, region: "us-east-1", forcePathStyle: true });
    await client.send(new PutObjectCommand({ Bucket: "photos", Key: "one.jpg", Body: "one" }));
    const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
    const command = maitred(["enqueue", "s3://photos/one", "s3://photos/one.jpg"], env);
    expect([await command.exit, command.stdout()]).toEqual([1, "1 queued\n"]);
    expect(command.stderr()).toBe("left out  s3://photos/one: there is no such object\n");
    expect((await db.pool.query("select key from photos")).rows).toEqual([{ key: "one.jpg" }]);
    client.destroy();
    await s3.stop();
  });

  test("brings back no photo that was removed after it was looked for, whatever is listed after it", async ({
    db,
  }) => {
    const s3 = await startFauxqs({ port: 0, logger: false });
    s3.createBucket("photos");
    const client = new S3Client({ endpoint: s3.address, region: "us-east-1", forcePathStyle: true });
    for (const Key of ["one.jpg", "2019/a.jpg"])
      await client.send(new PutObjectCommand({ Bucket: "photos", Key, Body: Key }));
    await judge(db, await register(db, "one.jpg"), "shown");
    const proxy = await startProxy(s3.address, async ({ url }) => {
      if (url?.includes("prefix=2019")) await removeObject(db, "one.jpg");
    });
    const command = await ended(["enqueue", "s3://photos/one.jpg", "s3://photos/2019/"], {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: queueUrl(BACKENDS[0]!, db),
      MAITRED_QUEUE_PREFIX: BACKENDS[0] === "redis" ? db.url.slice(-10) : "maitred_queue",
      MAITRED_S3_ENDPOINT: proxy.url,
    });
    expect([command.code, command.err]).toEqual([0, ""]);
    const current = "select key from photos where superseded_at is null";
    expect((await db.pool.query(current)).rows).toEqual([{ key: "2019/a.jpg" }]);
    client.destroy();
    await proxy.close();
    await s3.stop();
  });
});
