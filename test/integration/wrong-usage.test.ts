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
