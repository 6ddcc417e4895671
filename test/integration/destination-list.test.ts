import { expect } from "vitest";
import { claimDeliveries, settleDelivery } from "../../src/store/deliveries.ts";
import { addDestination } from "../../src/store/destinations.ts";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judge, register } from "../verdicts.ts";

test("maitred destination list says what waits, since when it fails and why, and what is dead", async ({
  db,
}) => {
  const list = async (...args: string[]): Promise<string> =>
    (await ended(["destination", "list", ...args], { DATABASE_URL: db.url })).out;
  for (const id of ["fails", "lost", "waits"])
    await addDestination(db.pool, { id, kind: "s3-tags", bucket: id, url: null }, null);
  await addDestination(db.pool, { id: "told", kind: "notify", bucket: null, url: null }, null);
  for (const bucket of ["fails", "lost", "waits"])
    await judge(db, await register(db, "a", "etag:1", bucket), "shown");
  await judge(db, await register(db, "b", "etag:1", "fails"), "shown");
  await db.pool.query("update outbox set created_at = '2026-01-31T08:30Z' where photo_id = 1");
  const failed = { note: "it answered 500", waitMs: 60_000 };
  for (const claimed of await claimDeliveries(db.pool, {}, { each: 9, total: 99, leaseS: 60 })) {
    const state = claimed.destination === "lost" ? "dead" : "pending";
    if (claimed.destination !== "waits") await settleDelivery(db.pool, claimed, { ...failed, state });
  }
  expect((await list()).split("\n")).toEqual([
    expect.stringMatching(/^id +kind +bucket +state +url +waiting +dead$/),
    expect.stringMatching(
      /^fails +s3-tags +fails +enabled +2 +0 +waits since 2026-01-31T08:30:00.000Z, last answer: it answered 500$/,
    ),
    expect.stringMatching(/^lost +s3-tags +lost +enabled +0 +1$/),
    expect.stringMatching(/^waits +s3-tags +waits +enabled +1 +0 +waits since \S+Z$/),
    expect.stringMatching(/^told +notify +enabled +- +-$/),
    "",
  ]);
  expect(JSON.parse(await list("--json"))).toMatchObject([
    {
      id: "fails",
      pending: 2,
      dead: 0,
      oldestAt: "2026-01-31T08:30:00.000Z",
      lastError: "it answered 500",
    },
    { id: "lost", pending: 0, dead: 1, oldestAt: null, lastError: null },
    { id: "waits", pending: 1, dead: 0, oldestAt: expect.stringMatching(/Z$/), lastError: null },
    { id: "told", pending: 0, dead: 0, oldestAt: null, lastError: null },
  ]);
});
