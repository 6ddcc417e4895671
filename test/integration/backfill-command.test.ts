import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, bestRate, changeBackfill } from "../../src/store/backfills.ts";
import { registerModel, reportFigures, reportWorker } from "../../src/store/models.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { failed, judged, page, photos, startArchive } from "../backfills.ts";
import { test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import type { TestS3 } from "../s3.ts";
import { ofAll, register } from "../verdicts.ts";

let s3: TestS3;
beforeAll(async () => {
  s3 = await startArchive();
});
afterAll(() => s3.stop());

test("the command starts, counts, lists, pauses and reports, and says what is wrong", async ({ db }) => {
  const ids = await photos(db, "a", "b");
  const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], env);
  };
  await s3.put("dry/1.jpg", "12345");
  await s3.put("dry/2.jpg", "123");
  expect(JSON.parse((await run("start", "s3://archive/dry/", "--dry-run", "--json")).out)).toEqual({
    photos: 2,
    skipped: 0,
    unreadable: 0,
    listRequests: 1,
    bytes: 8,
    sizesAsked: 0,
    sizesFound: 0,
    getRequests: 2,
    renditions: null,
    photosPerS: null,
    rateIs: null,
    seconds: null,
  });
  expect((await run("start", "--missing", "--dry-run")).out).toMatch(
    /^2 photos: state pending\nat most 2 GET requests; how many bytes the bucket did not say\n/,
  );
  await s3.put(
    "dry/list.jsonl",
    '{"key":"dry/1.jpg"}\n{"key":"dry/2.jpg"}\n{"key":"dry/1.jpg","etag":"e"}\n',
  );
  expect(
    (await run("start", "s3://archive/dry/list.jsonl", "--bucket", "archive", "--dry-run", "--json")).out,
  ).toMatch(/^\{"photos":2,"skipped":0,.*"bytes":8,"sizesAsked":2,"sizesFound":2,"getRequests":2,/);
  await s3.put("dry/some.csv", "bucket,key\narchive,dry/1.jpg\narchive,dry/none.jpg\n");
  expect((await run("start", "s3://archive/dry/some.csv", "--dry-run")).out).toContain(
    "at most 2 GET requests, 0.000 GB by the sizes of 1 of 2 asked for: the rest is absent or refused, and counts as none\n",
  );
  const started = await run(
    "start",
    "--missing",
    "--model",
    "restaurant-6",
    "--max-rate",
    "5",
    "--expect",
    "4",
    "--rendition-template",
    "small/{key}",
    "--by",
    "ann",
    "--json",
  );
  const { id } = JSON.parse(started.out);
  expect(started.code).toBe(0);
  expect(started.err).toContain("it waits for maitred feed or maitred up: none runs\n");
  expect((await run("pause", id)).err).toMatch(/--why/);
  expect(await run("pause", id, "--why", "too early", "--by", "bob")).toMatchObject({ code: 0 });
  expect((await run("status", id)).out).toMatch(/paused, by bob: too early\n.* 0 skipped, 0 % read\n/);
  expect((await run("status", id)).out).toMatch(/by renditions where there are any: small\/\{key\}/);
  expect((await run("list")).out).toMatch(/paused .* ann +photos: state pending/);
  await run("resume", id);
  await feedBackfill(db.pool, id, null, page(ids));
  expect((await run("pause", id, "--why", "too early")).out).toBe(
    `backfill ${id} is paused; 2 photos in the queue are still judged: maitred queue pause backfill stops these too\n`,
  );
  await run("resume", id);
  await recordOutcomes(db.pool, [judged(ids[0]!, "shown", "model:restaurant-6"), failed(ids[1]!)]);
  const report = await run("report", id);
  expect(report.code).toBe(1);
  expect(report.out).toMatch(/failed: 1 CORRUPT/);
  expect(report.out).toMatch(/pending +1 +1/);
  expect(report.out).toMatch(/food +0 +1 +\+1/);
  expect((await run("retry-failed", id, "--json")).out).toBe(`{"id":"${id}","photos":1}\n`);
  for (const [args, why] of [
    [["start", "s3://archive/x"], /a prefix with its slash, or a manifest/],
    [["start", "--missing", "--rendition-template", "small.jpg"], /expected \{key\} or \{stem\} in the key/],
    [["start", "--missing", "--expect", "1.5"], /--expect: expected a whole number/],
    [["start", "--missing", "--hours", "9"], /two hours such as 22-06/],
    [["sttus", id], /got "sttus": did you mean status\?/],
    // what would silently do nothing, or more than was asked for
    [["resume", id, "--max-rate", "5"], /resume has no --max-rate/],
    [["start", "--missing", "--why", "so"], /start has no --why/],
    [["start", "--missing", "--bucket", "archive"], /--bucket: expected a manifest beside it/],
    [["start", "s3://archive/2019/", "--bucket", "other"], /--bucket: expected a manifest beside it/],
  ] as const) {
    const { code, err } = await run(...args);
    expect([code, why.test(err), err]).toEqual([2, true, err]);
  }
}, 90_000);

test("where no worker runs the rate is that of the best minute of the last day", async ({ db }) => {
  const of = async (n: number): Promise<string[]> =>
    (await db.pool.query("select id from photos order by id limit $1", [n])).rows.map(({ id }) => id);
  expect(await bestRate(db.pool)).toBeNull();
  for (const key of ["a", "b", "c"]) await register(db, key);
  const at = async (minutes: number, photos: readonly string[]): Promise<void> =>
    void (await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by, decided_at)
        select id, 'shown', 'clear', 'because', 'model:m-1', date_trunc('minute', now()) - make_interval(mins => $2)
        from unnest($1::bigint[]) id`,
      [photos, minutes],
    ));
  await at(3 * 24 * 60, await of(3));
  await at(60, await of(2));
  await at(10, await of(1));
  expect(await bestRate(db.pool)).toBe(2 / 60);
  // what a policy decided anew, what was applied, taken back, held since or said by a moderator: no worker judged it
  const policy = await addBackfill(db.pool, { ...ofAll, what: { kind: "policy", policy: "p2", upTo: "3" } });
  const proposed = await addBackfill(db.pool, { ...ofAll, propose: true });
  for (const [by, batch, run, rule = "clear"] of [
    ["model:m-1", `policy-${policy}`, policy],
    ["model:m-1", "t-1", proposed],
    ["model:m-1", "rollback-7", null],
    ["model:m-1", null, null, "hidden-copy"],
    ["moderator:ada", "", null],
  ])
    await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by, batch, backfill_id, decided_at)
        select id, 'shown', $4, 'because', $1, $2, $3, date_trunc('minute', now()) - interval '30 minutes' from photos`,
      [by, batch, run, rule],
    );
  expect(await bestRate(db.pool)).toBe(2 / 60);
});

test("a dry run counts with the rate of the workers that run, and says so", async ({ db }) => {
  await photos(db, "a", "b");
  const run = async (...more: string[]) => {
    const command = await ended(["backfill", "start", "--missing", "--dry-run", ...more], {
      DATABASE_URL: db.url,
    });
    expect(command.code).toBe(0);
    return command.out;
  };
  expect(await run()).toContain("so no rate is known\n");
  expect(await run("--max-rate", "0.5")).toContain("about 4 s at 0.5 photos/s, which is --max-rate\n");
  for (const worker of ["one", "two"]) {
    const report = { worker, model: "m", variant: "", provider: "cpu", pinned: false, problem: "" };
    await reportWorker(db.pool, report);
    await reportFigures(db.pool, worker, { bestPerS: 0.25 });
  }
  expect(await run()).toContain(
    "about 4 s at 0.5 photos/s, which is the best five seconds of each of the 2 workers that run\n",
  );
  // two hundred seconds of a night's hour
  expect(await run("--max-rate", "0.01", "--hours", "02-03")).toContain(
    "about 3 min 20 s at 0.01 photos/s, which is --max-rate, within 02-03 only\n",
  );
});

test("a dry run tells what is decided already apart, of photos in Postgres, a prefix and a list", async ({
  db,
  folder,
}) => {
  const keys = ["settled/ours.jpg", "settled/moderated.jpg", "settled/other.jpg", "settled/failed.jpg"];
  const [ours, moderated, other, bad] = await photos(db, ...keys);
  for (const key of [...keys, "settled/new.jpg"]) await s3.put(key, "12345");
  await recordOutcomes(db.pool, [
    judged(ours!, "shown", "model:restaurant-6"),
    judged(other!, "shown", "model:m-1"),
    { ...failed(bad!), by: "model:restaurant-6" },
  ]);
  await db.pool.query("select record_review($1, 'ann', 'shown')", [moderated]);
  const list = join(folder, "list.csv");
  writeFileSync(list, ["bucket,key", ...keys.map((key) => `archive,${key}`)].join("\n"));
  const env = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    const command = await ended(
      ["backfill", "start", ...args, "--model", "restaurant-6", "--max-rate", "0.01", "--dry-run"],
      env,
    );
    expect(command.code, command.err).toBe(0);
    return command.out;
  };
  expect(await run("--all")).toBe(
    "4 photos: all photos\n2 of them are decided already, and skipped: 2 left to judge\n" +
      "at most 2 GET requests, 0.000 GB by the sizes of 2 of 2 asked for\nabout 3 min 20 s at 0.01 photos/s, which is --max-rate\n",
  );
  expect(JSON.parse(await run("s3://archive/settled/", "--json"))).toMatchObject({
    ...{ photos: 5, skipped: 2, getRequests: 3, seconds: 300 },
  });
  expect(JSON.parse(await run(list, "--json"))).toMatchObject({
    photos: 4,
    skipped: 2,
    bytes: 10,
    seconds: 200,
  });
  expect(JSON.parse(await run("--all", "--again", "--json"))).toMatchObject({ photos: 4, skipped: 1 });
});

test("a backfill that is not there is exit code 1, and one that is over is shown once", async ({ db }) => {
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], { DATABASE_URL: db.url });
  };
  const said = "maitred backfill: there is no backfill 77: maitred backfill list shows them\n";
  const all = [
    ["status", "77"],
    ["resume", "77"],
    ["rollback", "77"],
    ["cancel", "77", "--why", "x"],
  ];
  for (const answer of await Promise.all(all.map((args) => run(...args))))
    expect(answer).toEqual({ code: 1, out: "", err: said });
  const id = await addBackfill(db.pool, ofAll);
  await changeBackfill(db.pool, id, "cancelled", "ann", "done with it");
  expect(await run("rollback", id)).toEqual({
    code: 0,
    out: `there was nothing of backfill ${id} to roll back\n`,
    err: "",
  });
  const watched = await run("status", id, "--watch");
  expect(`${watched.err}${watched.out}`.match(/cancelled/g)).toHaveLength(1);
});

test("watching ends where the feeder had to pause the run, and waits where a person did, saying why once", async ({
  db,
}) => {
  const env = { DATABASE_URL: db.url };
  const id = await addBackfill(db.pool, ofAll);
  await changeBackfill(db.pool, id, "paused", "bob", "too early");
  const watching = maitred(["backfill", "status", id, "--watch"], env);
  try {
    await watching.says(`paused, by bob: too early; waiting for maitred backfill resume ${id}\n`);
    await changeBackfill(db.pool, id, "running", "bob", "");
    await watching.says("running, waits for maitred feed or maitred up: none runs: ");
    await changeBackfill(db.pool, id, "paused", "maitred feed", "CONFIG_INVALID: list.csv: no such file");
    expect(await watching.exit).toBe(1);
  } finally {
    watching.child.kill();
  }
  expect(watching.stderr().match(/paused/g)).toHaveLength(1);
  expect(watching.stdout()).toContain("paused, by maitred feed: CONFIG_INVALID: list.csv: no such file\n");
  expect(watching.stdout()).toContain(`once that is mended: maitred backfill resume ${id}\n`);
}, 40_000);

test("the command starts nothing of what cannot be read, unless it is told to", async ({ db, folder }) => {
  const env = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const starts = async (...what: string[]) => {
    const { code, err } = await ended(["backfill", "start", ...what], env);
    return { code, err };
  };
  mkdirSync(join(folder, "parts.csv"));
  await s3.put("keys.csv", "key\n1.jpg\n2.jpg\n");
  await s3.put("inventory/1.csv", '"archive","1.jpg"\n');
  const inventory = {
    destinationBucket: "arn:aws:s3:::archive",
    fileFormat: "CSV",
    fileSchema: "Bucket, Key",
    files: [{ key: "inventory/1.csv" }, { key: "inventory/2.csv" }],
  };
  await s3.put("inventory/manifest.json", JSON.stringify(inventory));
  const refused = await Promise.all([
    starts("s3://nowhere/2019/"),
    starts("s3://archive/none.csv"),
    starts("./none.csv"),
    starts(join(folder, "parts.csv")),
    starts("--view", "none"),
    starts("s3://archive/inventory/manifest.json"),
    starts("s3://archive/keys.csv"),
    starts("s3://archive/dry/", "--rendition-template", "s3://elsewhere/{key}"),
    starts("s3://archive/dry/", "--rendition-template", "s3://elsewhere/{key}", "--dry-run"),
  ]);
  const why = (text: RegExp) => ({ code: 2, err: expect.stringMatching(text) });
  expect(refused).toEqual([
    why(/s3:\/\/nowhere\/2019\/: .*NoSuchBucket: nothing was started/),
    why(/s3:\/\/archive\/none\.csv: .*NoSuchKey: nothing was started/),
    why(/backfill: \/[^ ]*none\.csv: there is no such file; .*: nothing was started/),
    why(/parts\.csv: expected a file, got a folder: name a list in it: nothing was started/),
    why(/view none: .*: nothing was started/),
    why(/archive\/inventory\/2\.csv: NoSuchKey: nothing was started/),
    why(
      /keys\.csv: none of its 2 records names a photo: record 1 names no bucket, .*--bucket NAME.*: nothing/,
    ),
    why(/--rendition-template: there is no bucket elsewhere, got "s3:/),
    why(/--rendition-template: there is no bucket elsewhere, got "s3:/),
  ]);
  expect((await db.pool.query("select from backfills")).rows).toEqual([]);
  expect((await starts("s3://nowhere/2019/", "--unchecked")).code).toBe(0);
}, 90_000);

test("the model that counts is one that somebody knows", async ({ db }) => {
  const env = { DATABASE_URL: db.url };
  const starts = async (model: string) => {
    const { code, err } = await ended(["backfill", "start", "--older-model", "--model", model], env);
    return { code, err };
  };
  await registerModel(db.pool, { id: "pub-1", sha256: "0".repeat(64), measured: null }, "ann");
  const worker = { worker: "w", model: "cafe-2", variant: "", provider: "cpu", pinned: true, problem: "" };
  await reportWorker(db.pool, worker);
  expect(await starts("restaurant-9")).toEqual({
    code: 2,
    err: expect.stringContaining(
      'maitred backfill: --model: expected one of cafe-2, pub-1, restaurant-6, got "restaurant-9": did you mean restaurant-6?\n',
    ),
  });
  expect((await db.pool.query("select from backfills")).rows).toEqual([]);
  for (const known of ["cafe-2", "pub-1", "restaurant-6"]) expect((await starts(known)).code).toBe(0);
  expect((await db.pool.query("select model from backfills order by id")).rows).toEqual([
    { model: "model:cafe-2" },
    { model: "model:pub-1" },
    { model: "model:restaurant-6" },
  ]);
}, 90_000);

test("a dry run looks for renditions of some photos, and says what they save", async ({ db }) => {
  await photos(db, "a", "b");
  const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
  const run = async (...args: string[]) => {
    return ended(["backfill", ...args], env);
  };
  await s3.put("sized/1.jpg", "12345");
  await s3.put("sized/2.jpg", "123");
  await s3.putInto("thumbs", "sized/1", "123");
  const small = ["start", "s3://archive/sized/", "--rendition-template", "s3://thumbs/{stem}"];
  expect(JSON.parse((await run(...small, "--dry-run", "--json")).out)).toMatchObject({
    photos: 2,
    bytes: 8,
    getRequests: 3,
    renditions: { looked: 2, found: 1, bytes: 3, originals: 1 },
  });
  const ofTable = ["start", "--missing", "--rendition-template", "s3://thumbs/sized/1{key}"];
  expect((await run(...ofTable, "--dry-run")).out).toMatch(
    /at most 4 GET requests; how many bytes the bucket did not say\nof 2 photos looked at, 0 have a rendition: about 0.000 GB of them all, and 2 originals\nnone of them has one: is --rendition-template right\?/,
  );
}, 90_000);
