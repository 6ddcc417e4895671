import { describe, expect } from "vitest";
import { endBackfills } from "../../src/store/backfill-feed.ts";
import { addBackfill, applyProposals } from "../../src/store/backfills.ts";
import type { Pool } from "../../src/store/pool.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { allOf, feedAll } from "../policies.ts";
import { decide, judged, ofAll, register } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

const DINNER = "d1".repeat(32);

/** A model's verdict of these bytes: its own, or that of the photo whose scores it has. */
async function judge(
  { pool }: { pool: Pool },
  photo: string,
  verdict: "shown" | "hidden",
  {
    digest = DINNER,
    of,
    by,
    fed,
    rendition,
  }: { digest?: string; of?: string; by?: string; fed?: true; rendition?: true } = {},
): Promise<void> {
  const outcome = judged(photo, verdict, by);
  const bytes = of === undefined ? { digest } : { copyOf: digest };
  const batch = of === undefined ? "t-1" : `same-${of}`;
  const result = { ...outcome.result, ...bytes, ...(rendition && { rendition }) } as Outcome["result"];
  await recordOutcomes(pool, [{ ...outcome, batch, ...(fed && { fed }), result }]);
}

/** What another policy says of the scores that are stored. */
async function anew(db: Database, photo: string, policy: string, verdict: "shown" | "hidden"): Promise<void> {
  const run = await addBackfill(db.pool, {
    ...ofAll,
    what: { kind: "policy", policy, upTo: "1000" },
    model: "",
  });
  const outcome = { ...judged(photo, verdict), policy, batch: `policy-${run}` };
  expect(await recordAnew(db.pool, run, [outcome], allOf(1))).toBe(true);
}

const stateOf = async (db: Database, photo: string) =>
  (await rows(db, "select state, rule, reason from photos where id = $1", photo))[0];
const shown = { state: "shown", rule: "clear" };
const held = (by: string) => ({
  state: "review",
  rule: "hidden-copy",
  reason: `ann hid the same bytes: photo ${by}`,
});

describe("bytes that a moderator hid", () => {
  test("wait for a moderator under another key, whichever model judges them", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    expect(await stateOf(db, copy)).toEqual(held(first));
    const later = await register(db, "c");
    await judge(db, later, "shown", { by: "model:m-2" });
    expect(await stateOf(db, later)).toEqual(held(first));
    expect(await rows(db, "select key from public_photos")).toEqual([]);
    const other = await register(db, "d");
    await judge(db, other, "shown", { digest: "d2".repeat(32) });
    expect(await stateOf(db, other)).toMatchObject(shown);
    const clear = await register(db, "e");
    await judge(db, clear, "hidden");
    expect(await stateOf(db, clear)).toMatchObject({ state: "hidden" });
  });

  test("that have the scores of others are known too", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    await decide(db, copy);
    expect(await stateOf(db, first)).toMatchObject(shown);
    const third = await register(db, "c");
    await judge(db, third, "shown", { of: first });
    expect(await stateOf(db, third)).toEqual(held(copy));
  });

  test("are known as those of the original where a rendition was judged since", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await judge(db, first, "shown", { digest: "d3".repeat(32), by: "model:m-2", rendition: true });
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { by: "model:m-2" });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are known by whose scores a copy has, where whoever judged it does not say which bytes", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    await decide(db, first);
    const outcome = { ...judged(copy, "shown"), batch: `same-${first}` };
    const recorded = await recordOutcomes(db.pool, [outcome]);
    expect(recorded.get(copy)).toEqual({ changed: true, held: held(first).reason });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are shown again once a moderator shows a copy, takes it back, or the photo is erased", async ({
    db,
  }) => {
    const [first, second, third] = [
      await register(db, "a"),
      await register(db, "b"),
      await register(db, "c"),
    ];
    await judge(db, first, "shown");
    const id = await decide(db, first);
    await judge(db, second, "shown");
    expect(await stateOf(db, second)).toEqual(held(first));
    await decide(db, second, { verdict: "shown" });
    await judge(db, third, "shown");
    expect(await stateOf(db, third)).toMatchObject(shown);

    const [, fourth, fifth] = [await decide(db, third), await register(db, "d"), await register(db, "e")];
    await undoReview(db.pool, "ann", id, 60);
    await judge(db, fourth, "shown");
    expect(await stateOf(db, fourth)).toEqual(held(third));
    await db.pool.query("delete from photos where id = $1", [third]);
    await judge(db, fifth, "shown");
    expect(await stateOf(db, fifth)).toMatchObject(shown);
  });

  test("wait where another policy would show them, and are hidden where it would hide them", async ({
    db,
  }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    await anew(db, copy, "p2", "shown");
    expect(await stateOf(db, copy)).toEqual(held(first));
    expect(await rows(db, "select policy from photos where id = $1", copy)).toEqual([{ policy: "p2" }]);
    await anew(db, copy, "p3", "hidden");
    expect(await stateOf(db, copy)).toMatchObject({ state: "hidden", rule: "clear" });
    await anew(db, copy, "p4", "shown");
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait also where the photo whose scores they have is erased before", async ({ db }) => {
    const [first, second, copy] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    await judge(db, first, "shown");
    await judge(db, second, "shown", { of: first });
    await decide(db, second);
    await judge(db, copy, "shown", { of: first });
    await db.pool.query("delete from photos where id = $1", [first]);
    await anew(db, copy, "p2", "shown");
    expect(await stateOf(db, copy)).toEqual(held(second));
  });

  test("wait where a moderator hid them while their verdict waited for another photo of its group", async ({
    db,
  }) => {
    const [first, other, copy] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    await judge(db, first, "shown");
    const deciding = await db.pool.connect();
    await deciding.query("begin");
    for (const id of [first, other]) await deciding.query("select record_review($1, 'ann', 'hidden')", [id]);
    const outcome = judged(copy, "shown");
    const result = { ...outcome.result, digest: DINNER } as Outcome["result"];
    const recorded = recordOutcomes(db.pool, [judged(other, "shown"), { ...outcome, result }]);
    await waitersIn(db, 1);
    await deciding.query("commit");
    deciding.release();
    expect((await recorded).get(other)).toEqual({ changed: false });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait where a proposal to show them is applied", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    await judge(db, copy, "hidden");
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    await feedAll(db, run);
    for (const id of [first, copy]) await judge(db, id, "shown", { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await decide(db, first);
    expect(await applyProposals(db.pool, run, "0", "me", 10)).toMatchObject({ changed: 1 });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });
});
