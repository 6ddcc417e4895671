import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { policyIdOf } from "../../src/decide/policy.ts";
import { openModel } from "../../src/infer/model.ts";
import { readBackfillCounts } from "../../src/store/backfill-counts.ts";
import { addBackfill, applyProposals, changeBackfill, readBackfill } from "../../src/store/backfills.ts";
import { promoteModel, registerModel } from "../../src/store/models.ts";
import { scoredPhotos } from "../../src/store/policies.ts";
import { recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { scored } from "../labels.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { allOf, before, judge, type Said, seen, yaml } from "../policies.ts";
import { fail, removeObject } from "../verdicts.ts";

const untimed = (photos: Record<string, unknown>) =>
  Object.values(photos).map((photo) => ({ ...(photo as object), decided_at: null }));

test("another policy over stored scores: seen, applied, proposed, and rolled back", async ({
  db,
  folder,
}) => {
  const ids = await judge(db, { ...before, e: ["menu", 0.9, 0.01] });
  // more ids in between than one statement looks at
  await db.pool.query("alter table photos alter id restart with 200000");
  await judge(db, { f: ["food", 0.71, 0.04] }, { rendition: true });
  await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids["d"]]);
  const was = await seen(db);
  // people are held back earlier, and menus are not verified
  const strict = yaml.replace(/review: [\d.]+/, "review: 0.02").replace(/verify:.*/, "verify: []");
  expect(strict).not.toBe(yaml);
  const file = join(folder, "strict.yaml");
  writeFileSync(file, strict);
  const command = async (...args: string[]) => {
    return ended(args, { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url });
  };
  const shown = JSON.parse((await command("policy", "diff", file, "--json")).out);
  expect(shown).toMatchObject({ photos: 5, changed: 2, other: 0 });
  expect(shown.moves).toEqual({ "review menu -> shown menu": 1, "shown food -> review food": 1 });
  expect(shown.sample.map(({ key }: { key: string }) => key).sort()).toEqual(["e", "f"]);
  expect((await command("policy", "diff", file)).out).toMatch(
    /^2 of 5 photos get another verdict or category/,
  );
  expect(await seen(db)).toEqual(was);

  // one that a later version has written is not this command's business
  await addBackfill(db.pool, {
    what: { kind: "photos", colour: "red" },
    model: "model:m-1",
    again: false,
    propose: true,
    maxRate: null,
    hours: null,
    startedBy: "oda",
  });
  const proposed = JSON.parse((await command("policy", "apply", file, "--propose", "--json")).out);
  expect(proposed).toMatchObject({ photos: 5, decided: 2 });
  expect(await seen(db)).toEqual(was);
  expect((await command("backfill", "status", proposed.backfill)).out).toMatch(/these are proposals/);
  expect((await command("backfill", "apply", proposed.backfill)).out).toMatch(
    /^2 photos .* decided as it proposed/,
  );
  const now = await seen(db);
  expect(now).toMatchObject({ e: { state: "shown", policy: policyIdOf(strict) }, f: { state: "review" } });
  expect(now).toMatchObject({ a: was["a"], d: was["d"] });

  // nothing is left to be decided by it, and the way back is open
  expect(JSON.parse((await command("policy", "diff", file, "--json")).out)).toMatchObject({ changed: 0 });
  expect((await command("backfill", "rollback", proposed.backfill, "--json")).out).toBe(
    `{"id":"${proposed.backfill}","photos":2,"pending":0}\n`,
  );
  expect(await seen(db)).toEqual(was);
  const applied = JSON.parse((await command("policy", "apply", file, "--json")).out);
  expect(applied).toMatchObject({ photos: 5, decided: 2 });
  expect(untimed(await seen(db))).toEqual(untimed(now));
  // scores of a rendition remain so, and give way to those of the photo itself
  const { rows } = await db.pool.query("select rendition from verdicts where batch = $1 order by photo_id", [
    `policy-${applied.backfill}`,
  ]);
  expect(rows).toEqual([{ rendition: null }, { rendition: true }]);
  expect((await command("backfill", "report", applied.backfill)).out).toMatch(/review +0 +1|shown +1/);
  for (const [args, why] of [
    [["diff", "/nowhere.yaml"], /policy: \/nowhere\.yaml: there is no such file$/m],
    [["diff", "/"], /policy: \/: expected a file, got a folder$/m],
    [["diff", file, "--propose"], /diff has no --propose/],
  ] as const) {
    const { code, err } = await command("policy", ...args);
    expect([code, why.test(err), err]).toEqual([2, true, err]);
  }
}, 90_000);

test("a policy is of the categories of the active model, and there may be nothing that it would decide", async ({
  db,
  folder,
}) => {
  const model = { categories: ["food", "misc"] };
  const active = await openModel(makeModel(join(folder, "models"), "ours-1", model), "auto");
  await registerModel(db.pool, active, "ann");
  const why = { by: "ann", why: "", figures: null };
  await promoteModel(db.pool, { to: "ours-1", from: null, ...why });
  const diff = async (text: string) => {
    writeFileSync(join(folder, "policy.yaml"), text);
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: join(folder, "models") };
    const { code, out, err } = await ended(["policy", "diff", join(folder, "policy.yaml")], env);
    return { code, said: out + err };
  };
  const ours =
    "version: 1\nhuman: {hide: 0.5, review: 0.1}\ncategories: {food: 0.5, misc: 0.5}\nverify: []\n";
  expect(await diff(ours)).toEqual({
    code: 0,
    said: `no photo has scores that another policy than ${policyIdOf(ours)} decided on: there is nothing to compare\n`,
  });
  const { code, said } = await diff(yaml);
  expect([code, said]).toEqual([2, expect.stringContaining("the model knows only food, misc")]);
});

test("photos that another policy decided are looked for a bounded stretch at a time", async ({ db }) => {
  const { b } = (await judge(db, before)) as { b: string };
  // as if many had been decided by this policy before it
  await db.pool.query("update photos set policy = 'p-2' where id <> $1", [b]);
  expect(await scoredPhotos(db.pool, "p-2", "0", "120000", 1)).toMatchObject({
    found: [{ id: b }],
    after: b,
  });
  expect(await scoredPhotos(db.pool, "p-2", b, "120000", 1)).toEqual({
    found: [],
    after: String(Number(b) + 50_000),
    end: false,
  });
  expect(await scoredPhotos(db.pool, "p-2", "99999", "120000", 1)).toEqual({
    found: [],
    after: "120000",
    end: true,
  });
});

test("is asked of current photos alone that a model's scores decided last", async ({ db }) => {
  const ids = (await judge(db, before)) as Record<"a" | "b" | "c" | "d", string>;
  // as of a verdict that is older than policies are kept
  await db.pool.query("update photos set policy = null where id = $1", [ids.a]);
  await removeObject(db, "b", "b");
  await fail(db, ids.c);
  await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids.d]);
  const { found } = await scoredPhotos(db.pool, "p-2", "0", "1000", 10);
  expect(found.map(({ id }) => id)).toEqual([ids.a]);
});

describe("a policy run", () => {
  const began = async (db: Database, propose = false) => {
    const what = { kind: "policy", policy: "p-2", upTo: "1000" };
    return addBackfill(db.pool, {
      what,
      model: "",
      again: false,
      propose,
      maxRate: null,
      hours: null,
      startedBy: "oda",
    });
  };
  /** Hidden by the scores that it has. */
  const anew = (photoId: string, said: Said, rendition = false) => ({
    photoId,
    known: {},
    batch: "policy-1",
    by: "model:m-1",
    policy: "p-2",
    result: {
      decision: { verdict: "hidden" as const, rule: "clear", reason: "so", category: "food", tags: [] },
      scores: scored(...said),
      ...(rendition && { rendition }),
    },
  });

  test.for([false, true])(
    "replaces nothing that was decided of other scores since it read (proposals: %s)",
    async (propose, { db }) => {
      const ids = await judge(db, before);
      await judge(db, { r: ["food", 0.9, 0.01] }, { rendition: true });
      const { id: r } = (await db.pool.query("select id from photos where key = 'r'")).rows[0];
      const run = await began(db, propose);
      // another model, a failure, a moderator, the photo itself after its rendition; and nobody
      await judge(db, { a: ["menu", 0.9, 0.01] }, { by: "model:m-2" });
      const failed = {
        ...anew(ids["b"]!, before["b"]!),
        result: { failure: "CORRUPT" as const, message: "no", transient: false },
      };
      await recordOutcomes(db.pool, [failed]);
      await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids["c"]]);
      await judge(db, { r: ["food", 0.9, 0.01] });
      const was = await seen(db);
      const group = [
        ...["a", "b", "c", "d"].map((key) => anew(ids[key]!, before[key]!)),
        anew(r, ["food", 0.9, 0.01], true),
      ];
      expect(await recordAnew(db.pool, run, group, allOf(5))).toBe(true);
      if (propose)
        expect(await applyProposals(db.pool, run, "0", "oda", 100)).toMatchObject({ taken: 1, changed: 1 });
      const now = await seen(db);
      expect(now["d"]).toMatchObject({ state: "hidden", policy: "p-2" });
      expect({ ...now, d: was["d"] }).toEqual(was);
    },
  );

  test("decides nothing more once it is cancelled or paused", async ({ db }) => {
    const ids = await judge(db, before);
    const was = await seen(db);
    for (const state of ["cancelled", "paused"] as const) {
      const run = await began(db);
      await changeBackfill(db.pool, run, state, "oda", "not now");
      expect(await recordAnew(db.pool, run, [anew(ids["a"]!, before["a"]!)], allOf(1))).toBe(false);
      expect(await readBackfill(db.pool, run)).toMatchObject({ state, seen: 0 });
    }
    expect(await seen(db)).toEqual(was);
  });

  test.for([false, true])(
    "counts a group once, though a command that crashed or another one brings it again (proposals: %s)",
    async (propose, { db }) => {
      const ids = await judge(db, before);
      const run = await began(db, propose);
      const first = { from: null, to: { after: ids["b"]! }, seen: 2, end: false };
      const group = [anew(ids["b"]!, before["b"]!)];
      expect(await recordAnew(db.pool, run, group, first)).toBe(true);
      expect(await recordAnew(db.pool, run, group, first)).toBe(false);
      const rest = { from: first.to, to: { after: "1000" }, seen: 2, end: true };
      expect(await recordAnew(db.pool, run, [anew(ids["d"]!, before["d"]!)], rest)).toBe(true);
      expect(await recordAnew(db.pool, run, [anew(ids["d"]!, before["d"]!)], rest)).toBe(false);
      expect(await readBackfill(db.pool, run)).toMatchObject({ state: "done", seen: 4, fed: 2, skipped: 2 });
      const moves = (await readBackfillCounts(db.pool, run)).map(({ before, after, photos }) => [
        before,
        after,
        photos,
      ]);
      expect(moves.sort()).toEqual([
        ["review", "hidden", 1],
        ["shown", "hidden", 1],
      ]);
    },
  );
});
