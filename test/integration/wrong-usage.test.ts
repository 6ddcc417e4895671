import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";

test("a sweep again after no time at all is refused", async () => {
  const { code, err } = await ended(["sweep", "--every", "0s", "photos"]);
  expect([code, err]).toEqual([2, expect.stringContaining("--every: expected a time of 1s to 24d")]);
});

test("a Postgres that does not answer, or lets nobody in, is told with what to check", async ({ db }) => {
  const stranger = new URL(db.url);
  stranger.username = "nobody_here";
  for (const DATABASE_URL of ["postgres://x@127.0.0.1:1/x", stranger.href]) {
    const { code, err } = await ended(["token", "list"], { DATABASE_URL });
    expect([code, err]).toEqual([
      3,
      expect.stringMatching(/^maitred token: .*: check DATABASE_URL, and that/),
    ]);
  }
});

test.for([
  [["backfill", "status", "x"], "expected the number of one backfill"],
  [["backfill", "report", "1", "--most", "x"], "--most: expected a whole number from 0 up"],
  [["backfill", "pause", "1"], "--why: expected why it is paused"],
  [["backfill", "apply"], "expected the number of one backfill"],
  [["backfill", "retry-failed", "1", "--code", "NOPE"], '--code: no photo fails with "NOPE"'],
  [["backfill", "list", "1"], "expected nothing after list"],
  [["backfill", "start", "--all", "--max-rate", "x"], "--max-rate: expected a number"],
  [["backfill", "start", "nope.csv"], "nope.csv: there is no such file"],
  [["policy", "diff", "nope.yaml"], "nope.yaml: there is no such file"],
  [["policy", "apply", "wrong.yaml"], "wrong.yaml: version: expected 1"],
  [["policy", "diff", "wrong.yaml", "--most", "x"], "--most: expected a whole number from 0 up"],
  [["model", "promote", "nope", "--gold", "."], "nope"],
  [["model", "promote", "restaurant-6", "--gold", "nope.jsonl"], "nope.jsonl: there is no such file"],
  [["model", "shadow", "nope"], "nope"],
  [["backfill", "list", "--all"], "list has no --all"],
  [["deliveries", "show", "1", "--state", "dead"], "show has no --state"],
  [["destination", "list", "--bucket", "x"], "list has no --bucket"],
  [["events", "show", "1", "--since", "2026-01-31"], "show has no --since"],
  [["model", "list", "--from", "y"], "list has no --from"],
  [["policy", "diff", "nope.yaml", "--propose"], "diff has no --propose"],
  [["queue", "status", "--why", "so"], "status has no --why"],
  [["session", "list", "--by", "ann"], "list has no --by"],
  [["token", "list", "--scopes", "read"], "list has no --scopes"],
  ...[
    "ann\nbob",
    "\x1b[31mann",
    "nna\u202e",
    "an\u200bn",
    "ann\u00ad",
    "ann\u00a0b",
    "ann ",
    "a".repeat(201),
  ].map(
    (name) => [["token", "create", "--scopes", "read", name], "expected a name of at most 200 char"] as const,
  ),
  [["token", "tist", "--scopes", "read"], 'got "tist"'],
  [["destination", "add", "notify", "--bucket", "s3://photos"], "--bucket: expected a bucket's name, got"],
  [["destination", "rotate", "d1", "--finish", "--keep", "5"], "expected --keep or --finish, not both"],
  [["model", "shadow", "--stop", "--share", "0.1"], "--share: expected the id of a model"],
  [["evaluate", "nope"], "nope: there is no such file or folder"],
  [["calibrate", "--max-shown", "0.1", "nope"], "nope: there is no such file or folder"],
  [
    ["calibrate", "--max-shown", "0.1", "--out", ".", "--force", "src"],
    "--out: expected a file, got the folder",
  ],
  [["evaluate", "--policy", "nope.yaml", "src"], /nope\.yaml: there is no such file$/m],
] as const)(
  "a mistake that can be told without Postgres is told without it: %j",
  async ([args, why], { folder }) => {
    writeFileSync(join(folder, "wrong.yaml"), "version: 2\n");
    const given = args.map((arg) => (/\.(yaml|csv)$/.test(arg) ? join(folder, arg) : arg));
    const { code, err } = await ended(given, { DATABASE_URL: "postgres://x@127.0.0.1:1/x" });
    expect([code, err]).toEqual([2, expect.stringMatching(why)]);
  },
);

test("a model folder without a model is told in words", async ({ folder }) => {
  const { code, err } = await ended(["classify", "."], { MAITRED_MODEL: folder });
  expect([code, err]).toEqual([2, expect.stringContaining("model.json: there is no such file; set")]);
});

test("a destination that there is not is told of nothing, with the exit code of the others", async ({
  db,
}) => {
  for (const word of ["catch-up", "test", "rotate", "remove"]) {
    const { code, err } = await ended(["destination", word, "nope"], { DATABASE_URL: db.url });
    expect([word, code, err]).toEqual([
      word,
      1,
      expect.stringMatching(/^there is no (destination|webhook) "nope": /),
    ]);
  }
});
