import { describe, expect } from "vitest";
import { enableDestination, removeDestination, tellPage } from "../../src/store/destinations.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test, transaction } from "../fixtures.ts";
import { annDecides, backfilled, claim, outbox, webhook } from "../outbox.ts";
import { fail, judge, judged, register } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

describe("catching up", () => {
  const told = async (db: Database, since = new Date(0)): Promise<string[]> => {
    await db.pool.query("delete from outbox");
    for (let after: string | undefined = "0"; after !== undefined; ) {
      after = (await tellPage(db.pool, "w", since, after, 2)).lastId;
    }
    return (await outbox(db)).map(({ kind, payload }) => `${payload.key} ${kind} ${payload.state}`);
  };

  /** What was decided until now was so an hour before. */
  const anHourAgo = (db: Database) =>
    db.pool.query(`alter table verdicts disable trigger verdicts_append_only;
      update verdicts set decided_at = decided_at - interval '1 hour';
      alter table verdicts enable trigger verdicts_append_only;
      update photos set decided_at = decided_at - interval '1 hour'`);

  test("tells one destination of every photo that has, had or failed to get a verdict, as it is now", async ({
    db,
  }) => {
    for (const key of ["a", "b", "c", "d", "e"]) {
      const id = await register(db, key);
      if (key === "e") await fail(db, id);
      else if (key !== "d") await judge(db, id, key === "b" ? "hidden" : "shown");
      if (key === "c") await db.pool.query("update photos set superseded_at = now() where id = $1", [id]);
    }
    await webhook(db);
    await webhook(db, "other");
    expect(await told(db)).toEqual([
      "a photo.verdict shown",
      "b photo.verdict hidden",
      "c photo.withdrawn shown",
      "e photo.failed failed",
    ]);
    expect(await rows(db, "select distinct destination from deliveries")).toEqual([{ destination: "w" }]);
    await db.pool.query("update destinations set bucket = 'elsewhere' where id = 'w'");
    expect(await told(db)).toEqual([]);
  });

  test("tells of what changed and what was withdrawn since a time, and of no more", async ({ db }) => {
    const ids: string[] = [];
    for (const key of ["a", "b", "c"]) ids.push(await register(db, key));
    for (const id of ids) await judge(db, id, "shown");
    await anHourAgo(db);
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    // however long ago, and whatever is said of it meanwhile
    await db.pool.query("update destinations set changed_at = now() - interval '30 minutes'");
    await enableDestination(db.pool, "w", false, "still");
    await judge(db, ids[1]!, "hidden");
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[2]]);
    const before = await enableDestination(db.pool, "w", true);
    expect(Date.now() - before!.since.valueOf()).toBeGreaterThan(30 * 60_000);
    expect(await told(db, before!.since)).toEqual(["b photo.verdict hidden", "c photo.withdrawn shown"]);
  });

  test("tells of verdicts that were taken back meanwhile, for another or for none", async ({ db }) => {
    const ids = [];
    for (const key of ["restored", "pending", "rolled back", "never judged", "replaced", "stands again"])
      ids.push(await register(db, key));
    await judge(db, ids[0]!, "hidden");
    await recordOutcomes(db.pool, [{ ...judged(ids[5]!, "hidden", "model:m-9"), policy: "old" }]);
    const undo = [
      await annDecides(db, ids[0]!),
      await annDecides(db, ids[1]!),
      await annDecides(db, ids[4]!),
    ];
    const rollBack = await backfilled(db, [ids[2]!, ids[5]!]);
    await register(db, "replaced", "etag:2");
    await anHourAgo(db);
    await db.pool.query(`update review_decisions set before = before || '{"decided_at": "2020-01-01"}'
      where before ->> 'state' <> 'pending'`);
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    for (const each of undo) await each();
    await rollBack();
    const before = await enableDestination(db.pool, "w", true);
    const current = [
      "restored photo.verdict hidden",
      "pending photo.withdrawn pending",
      "rolled back photo.withdrawn pending",
    ];
    const rest = ["replaced photo.withdrawn pending", "stands again photo.verdict hidden"];
    expect(await told(db)).toEqual([...current, ...rest]);
    expect(await told(db, before!.since)).toEqual([...current, ...rest]);
  });

  test("since a destination was disabled misses nothing that was under way at that moment", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await transaction(db);
    await client.query("select now()");
    await enableDestination(db.pool, "w", false);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    await client.finish("commit");
    const before = await enableDestination(db.pool, "w", true);
    expect(await outbox(db)).toEqual([]);
    expect(await tellPage(db.pool, "w", before!.since, "0", 100)).toMatchObject({ told: 1 });
  });

  test("is for destinations that are there and enabled", async ({ db }) => {
    await expect(tellPage(db.pool, "w", new Date(0), "0", 10)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    await expect(tellPage(db.pool, "w", new Date(0), "0", 10)).rejects.toThrow("not enabled");
  });
});

describe("a destination that is disabled", () => {
  test("waits for no verdict, and what that tells it goes once it is enabled", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    try {
      await client.query("begin");
      await client.query("select record_review($1, 'ann', 'hidden')", [id]);
      await enableDestination(db.pool, "w", false);
      await client.query("commit");
    } finally {
      client.release(true);
    }
    expect(await claim(db)).toEqual([]);
    await enableDestination(db.pool, "w", true);
    expect(await claim(db)).toHaveLength(1);
  });

  test("is told the page of a catch-up that is under way, which would go on after it", async ({ db }) => {
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await webhook(db);
    const client = await transaction(db);
    await client.query("select from photos where id = $1 for update", [id]);
    const page = tellPage(db.pool, "w", new Date(0), "0", 10);
    await waitersIn(db);
    const disabled = enableDestination(db.pool, "w", false);
    await Promise.race([disabled, waitersIn(db, 2)]);
    await client.finish("commit");
    expect(await page).toMatchObject({ told: 1 });
    await disabled;
  });
});

describe("a destination that is removed", () => {
  test("takes with it what is being written for it at that moment", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await transaction(db);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    const removed = removeDestination(db.pool, "w");
    await waitersIn(db);
    await client.finish("commit");
    expect(await removed).toBe(true);
    expect(await outbox(db)).toEqual([]);
  });

  test("leaves what others are to be told of the same changes", async ({ db }) => {
    for (const id of ["w", "v", "u"]) await webhook(db, id);
    await judge(db, await register(db, "a"), "shown");
    expect(await removeDestination(db.pool, "w")).toBe(true);
    // as one of a version before
    await rows(db, "select remove_destination('v')");
    expect((await claim(db)).map(({ destination }) => destination)).toEqual(["u"]);
  });

  test("fails no verdict that is given at that moment", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await transaction(db);
    await client.query("select remove_destination('w')");
    const verdict = judge(db, id, "shown");
    await waitersIn(db);
    await client.finish("commit");
    await verdict;
    expect(await rows(db, "select state from photos")).toEqual([{ state: "shown" }]);
    expect(await outbox(db)).toEqual([]);
  });
});
