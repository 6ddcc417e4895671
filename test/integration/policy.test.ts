import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { decide } from "../../src/decide/decide.ts";
import { type Policy, parsePolicy } from "../../src/decide/policy.ts";
import { openModel } from "../../src/infer/model.ts";
import { packageRoot } from "../../src/package-root.ts";
import { policyIdOf } from "../../src/policy-id.ts";
import { readBackfillCounts } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  changeBackfill,
  discardProposals,
  readBackfill,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { promoteModel, registerModel } from "../../src/store/models.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { keepPolicy, scoredPhotos } from "../../src/store/policies.ts";
import { recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";

const yaml = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
const categories = ["food", "ambience", "menu", "other"];
const shipped = parsePolicy(yaml, categories, "shipped");
/** Score of the category, and of a human. */
type Said = [category: string, score: number, human: number];

function scoresOf([category, score, human]: Said) {
  const others = categories.filter((each) => each !== category).map((each) => [each, (1 - score) / 3]);
  return { human, categories: { [category]: score, ...Object.fromEntries(others) } };
}

async function judge(
  db: Database,
  said: Record<string, Said>,
  {
    by = "model:m-1",
    policy = shipped,
    text = yaml,
    fed = false,
    rendition = false,
  }: {
    by?: string;
    policy?: Policy;
    text?: string;
    fed?: boolean;
    rendition?: boolean;
  } = {},
): Promise<Record<string, string>> {
  const keys = Object.keys(said);
  const refs = keys.map((key) => ({ store: "s3" as const, bucket: "b", key, version: "", known: {} }));
  const photos = await registerPhotos(db.pool, refs, "live");
  await keepPolicy(db.pool, { id: policyIdOf(text), yaml: text, thresholds: policy.categories });
  await recordOutcomes(
    db.pool,
    photos.map(({ id, key }) => {
      const scores = scoresOf(said[key]!);
      const result = { scores, decision: decide(scores, policy), ...(rendition && { rendition }) };
      return {
        photoId: id,
        known: {},
        batch: "t-1",
        by,
        policy: policyIdOf(text),
        ...(fed && { fed }),
        result,
      };
    }),
  );
  return Object.fromEntries(photos.map(({ key, id }) => [key, id]));
}

/** What the product sees of every photo: state, category, who decided, and tags. */
async function seen(db: Database): Promise<Record<string, unknown>> {
  const { rows } =
    await db.pool.query(`select key, state, p.category, human, rule, reason, failure, decided_by, decided_at, policy,
      array(select t.category || ' ' || t.score || ' >= ' || t.threshold || ' ' || t.model from tags t where t.photo_id = p.id order by 1) as tags
    from photos p order by key`);
  return Object.fromEntries(rows.map(({ key, ...rest }) => [key, rest]));
}
const untimed = (photos: Record<string, unknown>) =>
  Object.values(photos).map((photo) => ({ ...(photo as object), decided_at: null }));
const states = async (db: Database): Promise<string> =>
  Object.values(await seen(db))
    .map((each) => (each as { state: string }).state)
    .join(" ");
async function throughout(page: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    const photos = await page();
    if (photos === 0) return total;
    total += photos;
  }
}
const applyAll = (db: Database, id: string, by = "ann"): Promise<number> =>
  throughout(async () => (await applyProposals(db.pool, id, "0", by, 3))?.taken ?? 0);
async function rollback(db: Database, id: string, limit = 2): Promise<number> {
  let [after, total] = ["0", 0];
  for (;;) {
    const page = await rollbackBackfill(db.pool, id, after, "ann", limit);
    if (!page) return total;
    after = page.after;
    total += page.restored;
  }
}
const run = { again: false, maxRate: null, hours: null, startedBy: "ann", model: "model:m-2" };
const all = { kind: "photos", upTo: "1000" };
/** A run over stored scores that looked at so many photos, and is done. */
const allOf = (seen: number) => ({ from: null, to: { after: "1000" }, seen, end: true });
async function feedAll(db: Database, id: string): Promise<void> {
  const { rows } = await db.pool.query("select id from photos order by id");
  const ids = rows.map((row) => row.id);
  await feedBackfill(db.pool, id, null, { ids, cursor: { after: "x" }, end: true, unreadable: 0 });
}
const before: Record<string, Said> = {
  a: ["food", 0.9, 0.01],
  b: ["food", 0.5, 0.3],
  c: ["ambience", 0.8, 0.9],
  d: ["other", 0.7, 0.01],
};
const after: Record<string, Said> = {
  a: ["food", 0.95, 0.9],
  b: ["ambience", 0.6, 0.01],
  c: ["ambience", 0.8, 0.9],
  d: ["other", 0.7, 0.01],
};

describe("a backfill that is rolled back", () => {
  test("leaves everything as it was, tags and model too, but what was judged again since", async ({ db }) => {
    const ids = await judge(db, before);
    await db.pool.query("insert into photos (store, bucket, key) values ('s3', 'b', 'e')");
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await feedAll(db, id);
    await expect(rollback(db, id)).rejects.toThrow(/wait until it is done/);
    await judge(db, { ...after, e: ["food", 0.9, 0.01] }, { by: "model:m-2", fed: true });
    expect(await states(db)).toBe("hidden shown hidden shown shown");
    await endBackfills(db.pool);
    expect(await rollback(db, id)).toBe(5);
    const why = { rule: "rollback", reason: `backfill ${id} was rolled back` };
    expect(await seen(db)).toEqual({ ...was, e: { ...(was["e"] as object), ...why } });
    expect(await rollback(db, id)).toBe(0);
    await expect(retryBackfill(db.pool, id, undefined, "ann")).rejects.toThrow(
      /was rolled back: .* start --failed/,
    );
    // what somebody decided after the run is not of the run
    const second = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await feedAll(db, second);
    await judge(db, { ...after, e: ["food", 0.9, 0.01] }, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await db.pool.query("select record_review($1, 'bob', 'shown', 'menu')", [ids["a"]]);
    expect(await rollback(db, second)).toBe(4);
    expect(await seen(db)).toMatchObject({
      ...was,
      e: { state: "pending", reason: `backfill ${second} was rolled back` },
      a: { state: "shown", category: "menu", decided_by: "moderator:bob" },
    });
  });
});

describe("a backfill that proposes", () => {
  test("changes nothing until it is applied, and then all but what a moderator decided", async ({ db }) => {
    const ids = await judge(db, before);
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, after, { by: "model:m-2", fed: true });
    expect(await seen(db)).toEqual(was);
    const moves = (await readBackfillCounts(db.pool, id)).map(
      ({ before, after, photos }) => `${before} ${after} ${photos}`,
    );
    expect(moves.sort()).toEqual(["hidden hidden 1", "review shown 1", "shown hidden 1", "shown shown 1"]);
    await endBackfills(db.pool);
    await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids["b"]]);
    expect(await applyAll(db, id)).toBe(4);
    expect(await states(db)).toBe("hidden hidden hidden shown");
    expect(await seen(db)).toMatchObject({
      a: { decided_by: "model:m-2" },
      b: { decided_by: "moderator:bob" },
    });
    // applying counts nothing anew, and can be undone
    expect(await readBackfillCounts(db.pool, id)).toHaveLength(4);
    expect(await rollback(db, id)).toBe(3);
    expect(await states(db)).toBe("shown hidden hidden shown");
  });

  test("leaves nothing behind when it is discarded", async ({ db }) => {
    await judge(db, before);
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, after, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    expect(
      await throughout(async () => (await discardProposals(db.pool, id, "0", "ann", 3))?.gone ?? 0),
    ).toBe(4);
    expect(await applyAll(db, id)).toBe(0);
    expect(await seen(db)).toEqual(was);
    const plain = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await changeBackfill(db.pool, plain, "cancelled", "ann", "x");
    await expect(applyProposals(db.pool, plain, "0", "ann")).rejects.toThrow(
      /gave verdicts, not proposals: .* rollback/,
    );
  });

  test("that is cancelled keeps what is in the queue from becoming verdicts, and is decided on after that", async ({
    db,
  }) => {
    const ids = await judge(db, before);
    const was = await seen(db);
    const [id, other] = [
      await addBackfill(db.pool, { ...run, what: all, propose: true }),
      await addBackfill(db.pool, { ...run, what: all, propose: false }),
    ];
    await feedAll(db, id);
    await feedBackfill(db.pool, other, null, {
      ids: [ids["d"]!],
      cursor: { after: "x" },
      end: true,
      unreadable: 0,
    });
    const { a, b, ...rest } = after;
    await judge(db, { a: a! }, { by: "model:m-2", fed: true });
    await changeBackfill(db.pool, id, "cancelled", "ann", "wrong model");
    await expect(discardProposals(db.pool, id, "0", "ann")).rejects.toThrow(
      /in the queue: wait until they are judged/,
    );
    // an upload has its verdict, and so has what another run waits for
    await judge(db, { b: b! }, { by: "model:m-2" });
    await judge(db, rest, { by: "model:m-2", fed: true });
    expect(await seen(db)).toMatchObject({
      a: was["a"],
      b: { decided_by: "model:m-2" },
      c: was["c"],
      d: { decided_by: "model:m-2" },
    });
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "cancelled", fed: 4, waiting: 0 });
    expect(await endBackfills(db.pool)).toEqual([other]);
    expect(await applyAll(db, id)).toBe(2);
    expect(await seen(db)).toMatchObject({ a: { state: "hidden" }, c: { decided_by: "model:m-2" } });
    expect(await rollback(db, id)).toBe(2);
    expect(await seen(db)).toMatchObject({ a: was["a"], c: was["c"] });
  });

  test("waits for its model also where another run decides the photo from scores that are there already", async ({
    db,
  }) => {
    const ids = await judge(db, before);
    const earlier = await addBackfill(db.pool, { ...run, what: all, propose: true, model: "model:m-0" });
    await feedAll(db, earlier);
    await judge(db, { a: ["menu", 0.9, 0.01] }, { by: "model:m-0", fed: true });
    await changeBackfill(db.pool, earlier, "cancelled", "ann", "enough");
    await judge(db, { b: before["b"]!, c: before["c"]!, d: before["d"]! }, { by: "model:m-1", fed: true });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    const policyRun = await addBackfill(db.pool, {
      ...run,
      what: { kind: "policy", policy: "p-2", upTo: "1000" },
      propose: false,
    });
    const decision = { verdict: "hidden" as const, rule: "x", reason: "so", category: "food", tags: [] };
    const anew = {
      photoId: ids["b"]!,
      known: {},
      batch: "policy-1",
      by: "model:m-1",
      policy: "p-2",
      result: { decision, scores: scoresOf(before["b"]!) },
    };
    expect(await recordAnew(db.pool, policyRun, [anew], allOf(1))).toBe(true);
    expect(await applyAll(db, earlier)).toBe(1);
    expect(await readBackfill(db.pool, id)).toMatchObject({ waiting: 4 });
    const was = await seen(db);
    expect(was).toMatchObject({ a: { decided_by: "model:m-0" }, b: { policy: "p-2" } });
    await judge(db, after, { by: "model:m-2", fed: true });
    expect(await seen(db)).toEqual(was);
    await endBackfills(db.pool);
    expect(await applyAll(db, id)).toBe(4);
  });

  test("stays that though its jobs are done again by a worker that could not say so", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const was = await seen(db);
    const decision = { verdict: "hidden" as const, rule: "x", reason: "so", category: "food", tags: [] };
    const outcome = {
      photoId: ids["a"]!,
      known: {},
      batch: "t-1",
      by: "model:m-2",
      policy: "p",
      fed: true as const,
      result: { decision, scores: { categories: { food: 0.9 }, human: 0.9 } },
    };
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await recordOutcomes(db.pool, [outcome]);
    expect(await recordOutcomes(db.pool, [outcome])).toEqual(new Map([[ids["a"], false]]));
    await endBackfills(db.pool);
    await throughout(async () => (await discardProposals(db.pool, id, "0", "ann"))?.gone ?? 0);
    await recordOutcomes(db.pool, [outcome]);
    expect(await seen(db)).toEqual(was);
    expect(await readBackfillCounts(db.pool, id)).toMatchObject([{ after: "hidden", photos: 1 }]);
    // and one that is queued by hand is judged, beside whatever was fed
    const { fed: _, ...byHand } = outcome;
    await recordOutcomes(db.pool, [outcome, byHand, outcome]);
    expect(await states(db)).toBe("hidden");
  });

  test("proposes no failure any more of a photo that is tried again", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    const failure = { failure: "CORRUPT" as const, message: "no", transient: false };
    await recordOutcomes(db.pool, [
      {
        photoId: ids["a"]!,
        known: {},
        batch: "",
        by: "model:m-2",
        policy: "p",
        fed: true,
        result: failure,
      },
    ]);
    await retryBackfill(db.pool, id, undefined, "ann");
    expect(await feedRetries(db.pool, id, 10)).toHaveLength(1);
    // its upload was faster
    await judge(db, { a: ["food", 0.9, 0.01] }, { by: "model:m-2" });
    await feedRetries(db.pool, id, 10);
    await endBackfills(db.pool);
    await applyAll(db, id);
    expect(await states(db)).toBe("shown");
  });

  test("of a failure undoes no verdict that the same model and policy gave meanwhile", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    const failure = { failure: "GONE" as const, message: "no", transient: false };
    const by = "model:m-2";
    const told = {
      photoId: ids["a"]!,
      known: {},
      batch: "",
      by,
      policy: policyIdOf(yaml),
      fed: true as const,
    };
    await recordOutcomes(db.pool, [{ ...told, result: failure }]);
    await endBackfills(db.pool);
    // the bucket is mended, and the photo is uploaded again
    await judge(db, { a: ["food", 0.9, 0.01] }, { by });
    await applyAll(db, id);
    expect(await states(db)).toBe("shown");
  });

  test("that was discarded stays that, whoever applies it afterwards", async ({ db }) => {
    await judge(db, before);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, after, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await throughout(async () => (await discardProposals(db.pool, id, "0", "ann"))?.gone ?? 0);
    expect(await applyAll(db, id, "bob")).toBe(0);
    expect(await readBackfill(db.pool, id)).toMatchObject({ outcome: "discarded", changedBy: "ann" });
  });

  test("holds up no upload: what the live lane judges is a verdict at once", async ({ db }) => {
    await db.pool.query("insert into photos (store, bucket, key) values ('s3', 'b', 'a')");
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, { a: ["food", 0.9, 0.01] });
    expect(await states(db)).toBe("shown");
    await endBackfills(db.pool);
    expect(await applyAll(db, id)).toBe(0);
  });
});

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
    [["diff", file, "--propose"], /--propose: expected apply/],
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
      scores: scoresOf(said),
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
