/** What the commands say of mistakes, and of text that strangers wrote. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, inject } from "vitest";
import { feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill } from "../../src/store/backfills.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { judged, ofAll, register } from "../verdicts.ts";

const EVIL = "\x1b[2Jx\n999  shown\u009b2J\u202e.jpg";
const SEEN = "\\u001b[2Jx\\n999  shown\\u009b2J\\u202e.jpg";

const backfill = (db: Database, ...args: string[]) => ended(["backfill", ...args], { DATABASE_URL: db.url });

describe("what strangers wrote draws nothing on a terminal", () => {
  test("in the report of a backfill and its dry run", async ({ db }) => {
    const photo = await register(db, EVIL);
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, {
      ids: [photo],
      cursor: { after: photo },
      end: true,
      unreadable: 0,
    });
    await recordOutcomes(db.pool, [judged(photo, "shown", "model:m-2")]);
    const report = await backfill(db, "report", id);
    expect(report.out).toContain(`photos/${SEEN}\n`);
    expect(report.out).not.toContain("\x1b");
    const json = await backfill(db, "report", id, "--json");
    expect(json.out).not.toMatch(/[\u007f-\u009f\u202e]/);
    expect(JSON.parse(json.out).sample[0].key).toBe(EVIL);
    const dry = await backfill(db, "start", "--listing", EVIL, "--dry-run");
    expect(dry.out).toContain(SEEN);
    expect(dry.out).not.toContain("\x1b");
  });

  test("in what classify says of a file", async ({ folder }) => {
    writeFileSync(join(folder, EVIL), "words");
    const { out } = await ended(["classify", folder]);
    expect(out).toMatch(/^failed .*\n$/);
    expect(out).toContain(join(folder, SEEN));
  });

  test("in errors", async ({ db, folder }) => {
    const list = join(folder, "packed.csv");
    writeFileSync(list, gzipSync("key\n1.jpg\n"));
    const { code, err } = await backfill(db, "start", list);
    expect(code).toBe(2);
    expect(err).toContain("expected CSV, got gzip: name it .csv.gz");
    expect(err).not.toMatch(/[^\n\x20-\x7e]/);
  });
});

describe("who has seen enough", () => {
  test.for([
    [["--help"]],
    [["config"]],
    [["config", "--json"]],
    // in the middle of a model run
    [["classify", inject("samples")]],
  ] as const)("of %j ends it quietly", async ([args]) => {
    const command = maitred([...args]);
    command.child.stdout!.destroy();
    // which shells call 141
    expect(await command.exit).toBe("SIGPIPE");
    expect(command.stderr()).toBe("");
  });
});

describe("a folder that cannot be", () => {
  test("is told before anything is done", async ({ db, folder }) => {
    const [set, file] = [join(folder, "set"), join(folder, "file")];
    mkdirSync(join(set, "food"), { recursive: true });
    for (const each of [join(set, "food", "a.jpg"), file]) writeFileSync(each, "words");
    const env = { DATABASE_URL: db.url };
    const said = (option: string, path: string, why: string) =>
      `${option}: expected a folder that can be written to, got ${JSON.stringify(path)}: ${why}`;
    for (const [args, option] of [
      [["labels", "export"], "FOLDER"],
      [["evaluate", set, "--out"], "--out"],
      [["classify", set, "--explain"], "--explain"],
    ] as const) {
      for (const [path, why] of [
        [file, "it is a file"],
        ["/dev/null/x", "a part of it is a file"],
        ...(process.platform === "linux" ? [["/proc/x", "no folder can be made there"] as const] : []),
      ] as const) {
        const { code, err } = await ended([...args, path], env);
        expect([args[0], code, err]).toEqual([args[0], 2, expect.stringContaining(said(option, path, why))]);
        expect(err).not.toContain(" photos, ");
      }
    }
    const policy = join(file, "policy.yaml");
    const { code, err } = await ended(["calibrate", "--max-held", "0.1", "--out", policy, set], env);
    expect([code, err]).toEqual([2, expect.stringContaining(said("--out", file, "it is a file"))]);
    expect(err).not.toContain(" photos, ");
    const home = await ended(["up", "--once", set], { MAITRED_HOME: file });
    expect([home.code, home.err]).toEqual([
      2,
      expect.stringContaining(said("MAITRED_HOME", file, "it is a file")),
    ]);
  }, 120_000);
});

describe("a folder that is to be made", () => {
  const away = { DATABASE_URL: "postgres://x@127.0.0.1:1/x" };
  test.for([
    [["calibrate", "--max-held", "0.1", "set", "--out", "new/deep/policy.yaml"], {}, 2],
    [["evaluate", "set", "--out", "new/deep"], {}, 2],
    [["labels", "export", "new/deep"], away, 3],
    [["classify", "set", "--explain", "new/deep"], {}, 1],
    [["classify", "set", "--explain", "set/new"], {}, 2],
  ] as const)("is not there where nothing is written to it: %j", async ([args, env, exit], { folder }) => {
    mkdirSync(join(folder, "set", "food"), { recursive: true });
    writeFileSync(join(folder, "set", "food", "a.jpg"), "words");
    const before = readdirSync(folder, { recursive: true });
    const there = (arg: string): string => (/^(set|new)/.test(arg) ? join(folder, arg) : arg);
    const { code } = await ended(args.map(there), env);
    expect([code, readdirSync(folder, { recursive: true })]).toEqual([exit, before]);
  });
});

describe("what contradicts itself", () => {
  test("starts no backfill", async ({ db }) => {
    const id = await addBackfill(db.pool, ofAll);
    for (const [args, why] of [
      [["start", "--since", "2026-02-01", "--until", "2026-01-01"], "--until: expected a time after --since"],
      [["start", "--all", "--missing"], "expected --all or a choice such as --missing, not both"],
      [["start", "--older-model", "--all"], "expected --all or a choice such as --older-model, not both"],
      [["start", "--all", "--listing", ""], '--listing: expected a value, got ""'],
      [
        ["start", "--failed", "--code", "CORUPT"],
        '--code: no photo fails with "CORUPT": did you mean CORRUPT?',
      ],
      [["retry-failed", id, "--code", "NOPE"], '--code: no photo fails with "NOPE"'],
      [["start", "s3://photos/2019/", "--missing"], "expected s3://photos/2019/ or --missing, not both"],
      [["start", "s3://photos/2019/", "--view", "v"], "expected s3://photos/2019/ or --view, not both"],
      [["start", "--view", "v", "--below", "0.5"], "expected --view or --below, not both"],
      [
        ["start", "s3://photos"],
        "expected s3://photos/ for the whole bucket, or s3://photos/prefix/, got s3://photos",
      ],
      [["start", "s3://a/", "s3://b/"], "expected one of them, got s3://a/ and s3://b/"],
      [["start"], "expected one of s3://bucket/prefix/, a manifest, --view, or a choice of photos"],
    ] as const) {
      const { code, err } = await backfill(db, ...args);
      expect([args, code, err]).toEqual([args, 2, expect.stringContaining(why)]);
    }
    expect((await db.pool.query("select id from backfills")).rows).toEqual([{ id }]);
  }, 120_000);

  test("replays no unknown failure", async ({ db }) => {
    const { code, err } = await ended(["enqueue", "--failed", "--code", "NOPE"], { DATABASE_URL: db.url });
    expect([code, err]).toEqual([2, expect.stringContaining('--code: no photo fails with "NOPE"')]);
  });

  test("replays no more than what was named", async ({ db }) => {
    for (const [args, why] of [
      [["--failed", "s3://photos/2019/"], "--failed: expected nothing besides, got s3://photos/2019/"],
      [["--failed", "--listing", "42"], "--failed: expected nothing besides, got --listing"],
      [["--pending", "-"], "--pending: expected nothing besides, got -"],
      [["--failed", "--pending"], "expected --failed or --pending, not both"],
      [["--pending", "--code", "CORRUPT"], "--code: expected --failed too"],
      [["--code", "CORRUPT", "s3://photos/2019/"], "--code: expected --failed too"],
    ] as const) {
      const { code, err } = await ended(["enqueue", ...args], { DATABASE_URL: db.url });
      expect([args, code, err]).toEqual([args, 2, expect.stringContaining(why)]);
    }
  });

  test("changes no model where more words are given than it reads", async ({ db }) => {
    for (const [args, why] of [
      [
        ["rollback", "restaurant-2", "--reason", "worse"],
        'rollback: expected no more words, got "restaurant-2"',
      ],
      [["promote", "a-1", "b-1", "--force", "--reason", "x"], 'promote: expected no more words, got "b-1"'],
      [["shadow", "a-1", "b-1"], 'shadow: expected no more words, got "b-1"'],
      [["compare", "a-1", "b-1"], 'compare: expected no more words, got "b-1"'],
      [["list", "a-1"], 'list: expected no more words, got "a-1"'],
    ] as const) {
      const { code, err } = await ended(["model", ...args], { DATABASE_URL: db.url });
      expect([args, code, err]).toEqual([args, 2, expect.stringContaining(why)]);
    }
  });

  test("makes no shadow of the active model", async ({ db }) => {
    const { code, err } = await ended(["model", "shadow", "restaurant-6"], { DATABASE_URL: db.url });
    expect([code, err]).toEqual([2, expect.stringContaining("restaurant-6 is the active model")]);
  });
});

describe("a value that is none", () => {
  test.for([
    [["destination", "rotate", "d1", "--keep", ""], '--keep: expected a value, got ""'],
    [["destination", "rotate", "d1", "--keep", " "], '--keep: expected a value, got " "'],
    [["backfill", "start", "--below", ""], '--below: expected a value, got ""'],
    [["backfill", "report", "1", "--most", ""], '--most: expected a value, got ""'],
    [["model", "compare", "--most", ""], '--most: expected a value, got ""'],
    [["model", "verify", "restaurant-6", "--tolerance", ""], '--tolerance: expected a value, got ""'],
    [["policy", "diff", "policy.yaml", "--most", ""], '--most: expected a value, got ""'],
    [["deliveries", "replay", "--all", "--photo", ""], '--photo: expected a value, got ""'],
    [["enqueue", "--listing", "", "s3://photos/"], '--listing: expected a value, got ""'],
    [["enqueue", "--claimed=", "s3://photos/"], '--claimed: expected a value, got ""'],
    [["doctor", "--bucket", ""], '--bucket: expected a value, got ""'],
    [["deliveries", "replay", "", "--all"], 'expected a word, got ""'],
    [["up", "--once", ""], 'expected a word, got ""'],
  ] as const)("is refused, and is no 0, nor as if none were given: %j", async ([args, why], { db }) => {
    const { code, err } = await ended([...args], { DATABASE_URL: db.url });
    expect([code, err]).toEqual([2, expect.stringContaining(why)]);
  });
});

describe("mistakes are told in words", () => {
  test.for([
    ["token", "create", "--scopes", "read", "ann"],
    ["rollups", "mend"],
    ["forget", "--yes", "photos/a.jpg"],
  ])("of a role that may not: %j", async (args, { db }) => {
    const url = new URL(db.url);
    url.searchParams.set("options", "-c role=maitred_worker");
    const { code, err } = await ended(args, { DATABASE_URL: url.href, MAITRED_QUEUE_URL: db.url });
    const who = /: maitred doctor says what .* and a member of maitred_migrator may administer\n$/;
    expect([code, err]).toEqual([2, expect.stringMatching(who)]);
  });

  test("of a role that may not even look", async ({ db }) => {
    const url = new URL(db.url);
    url.searchParams.set("options", "-c role=maitred_dashboard");
    const { code, err } = await ended(["worker"], { DATABASE_URL: url.href });
    expect([code, err]).toEqual([2, expect.stringContaining("permission denied for table pgmigrations: ")]);
  });

  test("of backfill start", async ({ db, folder }) => {
    const manifest = (name: string, text: string): string => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "manifest.json"), text);
      return join(folder, name, "manifest.json");
    };
    const inventory = "expected the manifest.json of an S3 Inventory";
    const none = join(folder, "nope.csv");
    const listFolder = join(folder, "folder.json");
    mkdirSync(listFolder);
    for (const [args, why] of [
      [
        ["start", "--view", 's2."Odd View"'],
        /--view: expected NAME or SCHEMA\.NAME of letters, digits and _/,
      ],
      [
        ["start", "--missing", "--max-rate", "-5"],
        /--max-rate: expected a number 0\.01 to 1000000, got "-5"/,
      ],
      [["start", "--missing", "--model", "--dry-run"], /--model: expected a value.*--model=/],
      [["start", "--missing", "--model"], /--model: expected a value/],
      [["start", manifest("a", "[]")], new RegExp(`${inventory}: it is no object`)],
      [
        ["start", manifest("b", '{"fileFormat":"CSV"}')],
        new RegExp(`${inventory}: without destinationBucket`),
      ],
      [["start", listFolder], /folder\.json: expected a file, got a folder: name a list in it/],
      [["start", none], new RegExp(`^maitred backfill: ${none}: there is no such file; the feeder must`)],
    ] as const) {
      const { code, err } = await backfill(db, ...args);
      expect([args, code, err]).toEqual([args, 2, expect.stringMatching(why)]);
      expect(err).not.toMatch(/ambiguous|Invalid|ENOENT|EISDIR/);
    }
  }, 120_000);
});
