import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { parse } from "yaml";
import { packageRoot } from "../../src/package-root.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { colourGraph } from "../onnx.ts";
import { paint } from "../painted.ts";
import { decide, judged as recorded } from "../verdicts.ts";

interface Outcome {
  photos: number;
  sources: number;
  before: { effect: Record<string, { shown: { hits: number; value?: number }; held: { hits: number } }> };
  after: Outcome["before"] & {
    policy: { human: { hide: number; review: number }; categories: Record<string, number> };
  };
  byOthers: Outcome["before"] | null;
  strata: unknown[];
  warnings: string[];
}

/** Twelve photos with a human from bright to dim, and twelve of food with nobody but some light. */
async function paintSet(folder: string): Promise<{ set: string; env: Record<string, string> }> {
  const set = join(folder, "set");
  const lines: string[] = [];
  for (let n = 0; n < 24; n++) {
    const human = n < 12;
    const bright = human ? 0.95 - 0.07 * n : 0.02 * (n - 12);
    const file = `${n}.png`;
    await paint(set, { file, colour: [220, 0, 0], light: { x: 0.5, y: 0.5, bright } });
    lines.push(JSON.stringify({ file, category: "food", human, source: `s${n}` }));
  }
  writeFileSync(join(set, "labels.jsonl"), lines.join("\n"));
  makeModel(join(folder, "models"), "eyes-1", { files: { "model.onnx": colourGraph(64) } });
  return { set, env: { MAITRED_MODELS: join(folder, "models") } };
}

async function calibrated(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; outcome: Outcome; stderr: string }> {
  const { code, out, err } = await ended(["calibrate", "--json", "--model", "eyes-1", ...args], env);
  return { code, outcome: JSON.parse(out || "{}") as Outcome, stderr: err };
}

test("writes a policy that does what it says, as evaluate measures it, with the comments of the old one", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "policy.yaml");
  const asked = ["--force", "--max-shown", "0.1", "--out", out, set];
  const { code, outcome, stderr } = await calibrated(asked, env);
  expect(code, stderr).toBe(1);
  expect(outcome).toMatchObject({ photos: 24, sources: 24 });
  expect(outcome.after.effect["humans"]!.shown.hits).toBe(1);
  const text = readFileSync(out, "utf8");
  const shipped = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
  const comments = (yaml: string): string[] => yaml.split("\n").filter((line) => line.startsWith("#"));
  expect(comments(text)).toEqual(comments(shipped));
  const { human } = outcome.after.policy;
  expect(parse(text)).toEqual({ ...parse(shipped), model: "eyes-1", human });
  expect(text).toContain(
    `was ${parse(shipped).human.review}; maitred calibrate --max-shown 0.1 on 24 photos with eyes-1`,
  );

  const measured = await ended(["evaluate", "--json", "--model", "eyes-1", "--policy", out, set], env);
  const { effect } = JSON.parse(measured.out).subjects[0].evaluation;
  for (const group of ["humans", "foodAndAmbience"]) {
    expect(effect[group].shown.hits).toBe(outcome.after.effect[group]!.shown.hits);
  }
});

test("holds back no more than it is told to, and refuses to write over a policy unless forced", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "policy.yaml");
  writeFileSync(out, "mine");
  const args = ["--max-held", "0.25", "--out", out, set];
  const refused = await calibrated(args, env);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("is there; --force replaces it");
  expect(readFileSync(out, "utf8")).toBe("mine");
  const { code, outcome } = await calibrated(["--force", ...args], env);
  expect(code).toBe(0);
  expect(outcome.after.effect["foodAndAmbience"]!.held.hits).toBe(3);
  expect(parse(readFileSync(out, "utf8")).human.review).toBe(outcome.after.policy.human.review);
});

test("of two that write the same new policy at once one does, and the other says that it is there", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "policy.yaml");
  const asked = ["calibrate", "--model", "eyes-1", "--out", out, set];
  const both = await Promise.all(["0.25", "0.26"].map((held) => ended([...asked, "--max-held", held], env)));
  const [done, refused] = both.sort((a, b) => a.code - b.code);
  expect([done!.code, refused!.code]).toEqual([0, 2]);
  expect(refused!.err).toContain("is there; --force replaces it");
  // what it measured is not lost
  expect(refused!.out).toContain("better than it will be");
});

test("says that its figures are optimistic, what to expect instead, and writes nothing that too few photos chose unless forced", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "policy.yaml");
  const asked = ["calibrate", "--model", "eyes-1", "--max-shown", "0.01", "--out", out, set];
  const refused = await ended(asked, env);
  expect(refused.code, refused.err).toBe(1);
  expect(refused.out).toMatch(
    /policy\.yaml is not written: these photos cannot tell .* --force writes it as it is, to a new file\n$/,
  );
  expect(existsSync(out)).toBe(false);
  const command = await ended([...asked, "--force"], env);
  expect(command.code, command.err).toBe(1);
  expect(command.out).toMatch(/threshold +before +after\nhuman.review +0\.\d+ +0\.\d+/);
  expect(command.out).toContain("better than it will be; the last column is what to expect");
  const tooFew = "too few photos: 12 with a human cannot tell 1.0 %, 300 or more could";
  expect(command.out).toContain(`warning: ${tooFew}\n`);
  expect(command.out).toMatch(/policy\.yaml: do not use it before more photos say so: .*\n$/);
  // whoever finds the number later reads it too
  expect(readFileSync(out, "utf8")).toMatch(new RegExp(`review: .* # was .*; ${tooFew}$`, "m"));
  writeFileSync(out, "chosen by many");
  const again = await ended([...asked, "--force", "--json"], env);
  expect([again.code, JSON.parse(again.out).written]).toEqual([1, false]);
  expect(readFileSync(out, "utf8")).toBe("chosen by many");
});

test("writes nothing where no threshold does what is asked", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  const strict = join(folder, "strict.yaml");
  const categories = "categories: { food: 1, ambience: 1, menu: 1, other: 1 }";
  writeFileSync(strict, `version: 1\nhuman: { hide: 0.5, review: 0.1 }\n${categories}\nverify: []\n`);
  const out = join(folder, "policy.yaml");
  const command = await ended(
    ["calibrate", "--model", "eyes-1", "--policy", strict, "--max-held", "0.04", "--out", out, set],
    env,
  );
  expect(command.code).toBe(1);
  expect(command.out).toContain("No human.review holds back 4.0 % or less");
  expect(existsSync(out)).toBe(false);
});

test("learns from moderators' verdicts, by the scores that this model gave before", async ({
  folder,
  db,
}) => {
  const { env } = await paintSet(folder);
  const settings = { ...env, DATABASE_URL: db.url };
  for (let n = 0; n < 20; n++) {
    const human = n < 10;
    await reviewed(db, n, "eyes-1", human ? 0.9 - 0.08 * n : 0.01 * n, human, n % 2 === 0);
  }
  await reviewed(db, 20, "other-1", 0.01, true, true);
  const all = await calibrated(["--max-shown", "0.1", "--verdicts"], settings);
  expect(all.code, all.stderr).toBe(1);
  expect(all.outcome).toMatchObject({ photos: 20, sources: 20 });
  expect(all.outcome.after.effect["humans"]!.shown.hits).toBe(1);
  // the dimmest but one of the humans, whose 0.26 is a little less as the worker has it
  expect(all.outcome.after.policy.human.review).toBe(0.2599);
  expect(all.stderr).toContain("reviewed photos that eyes-1 had not judged, left out: 1");
  expect(all.outcome.warnings.join("\n")).toContain("moderators see what the policy sends them");
  const audits = await calibrated(["--max-shown", "0.1", "--verdicts", "--audit"], settings);
  expect(audits.outcome.photos).toBe(10);
  expect(audits.outcome.warnings.join("\n")).not.toContain("moderators see");
  const none = await calibrated(["--max-shown", "0.1", "--verdicts", "--since", "2100-01-01"], settings);
  expect(none.code).toBe(2);
  expect(none.stderr).toContain("expected photos with a human that eyes-1 has judged, got none");
});

test("weighs audits, and what was sent to review, by how many photos they stand for", async ({
  folder,
  db,
}) => {
  const { env } = await paintSet(folder);
  const settings = { ...env, DATABASE_URL: db.url };
  let n = 0;
  const many = async (
    count: number,
    verdict: "shown" | "hidden" | "review",
    score: (k: number) => number,
  ) => {
    const ids: string[] = [];
    for (let k = 0; k < count; k++) ids.push(await judged(db, n++, "eyes-1", score(k), verdict));
    return ids;
  };
  const shown = await many(60, "shown", () => 0.01);
  const unsure = await many(20, "review", (k) => 0.1 + 0.02 * (k >> 1));
  const hidden = await many(33, "hidden", () => 0.9);
  const asked = ["--max-shown", "0.1", "--verdicts", "--audit"];
  for (const id of shown.slice(0, 6)) await review(db, id, false, true);
  for (const id of hidden.slice(0, 3)) await review(db, id, true, true);
  // an appeal takes no photo out of the sample that it was drawn in
  await review(db, hidden[0]!, true, false);
  const early = await calibrated(asked, settings);
  expect(early.code).toBe(2);
  expect(early.stderr).toContain("of 20 photos that eyes-1 has sent to review");
  // one of two has a human
  for (const [k, id] of unsure.entries()) await review(db, id, k % 2 === 0, false);
  const { code, outcome, stderr } = await calibrated(asked, settings);
  expect(code, stderr).toBe(1);
  expect(outcome.photos).toBe(29);
  // of the 60 that were shown, half may have a human that six audits do not show
  expect(outcome.warnings.join("\n")).toMatch(
    /too few audits: 6 of 60 photos that were shown, so that 30 .*: 42 or more/,
  );
  expect(outcome.warnings.join("\n")).not.toContain("moderators see");
  // 33 hidden and 10 unsure humans, of which a tenth is four
  expect(outcome.after.policy.human.review).toBeCloseTo(0.18, 5);
  expect(outcome.after.effect["humans"]!.shown).toMatchObject({ hits: 4, value: expect.closeTo(4 / 43, 9) });
});

test("since a day is since the model's verdict where audits stand for others, however late they are", async ({
  folder,
  db,
}) => {
  const { env } = await paintSet(folder);
  const today = new Date().toISOString().slice(0, 10);
  const ids: string[] = [];
  for (let n = 0; n < 40; n++) {
    ids.push(await judged(db, n, "eyes-1", 0.01, "shown"));
    if (n !== 19) continue;
    await db.pool.query(`alter table verdicts disable trigger verdicts_append_only;
      update verdicts set decided_at = decided_at - interval '2 days';
      update photos set decided_at = decided_at - interval '2 days'`);
  }
  for (const id of ids.slice(10, 25)) await review(db, id, true, true);
  const { outcome, stderr } = await calibrated(
    ["--max-shown", "0.1", "--verdicts", "--audit", "--since", today],
    { ...env, DATABASE_URL: db.url },
  );
  expect(outcome.strata, stderr).toEqual([{ verdict: "shown", reviewed: 5, photos: 20 }]);
});

test("knows of no photo that was withdrawn where audits stand for others", async ({ folder, db }) => {
  const { env } = await paintSet(folder);
  const ids: string[] = [];
  for (let n = 0; n < 20; n++) ids.push(await judged(db, n, "eyes-1", 0.01, "shown"));
  for (const [n, id] of ids.slice(0, 10).entries()) await review(db, id, n < 5, true);
  await db.pool.query("update photos set superseded_at = now() where id = any ($1)", [ids.slice(3, 15)]);
  const { outcome, stderr } = await calibrated(["--max-shown", "0.1", "--verdicts", "--audit"], {
    ...env,
    DATABASE_URL: db.url,
  });
  expect(outcome.strata, stderr).toEqual([{ verdict: "shown", reviewed: 3, photos: 8 }]);
});

test("leaves out copies of what a moderator hid, which wait whatever the policy is", async ({
  folder,
  db,
}) => {
  const { env } = await paintSet(folder);
  for (let n = 0; n < 6; n++) await reviewed(db, n, "eyes-1", 0.01, false, true);
  const unsure = await judged(db, 6, "eyes-1", 0.2, "review");
  await review(db, unsure, true, false);
  const digest = "ab".repeat(32);
  const copy = async (n: number) => judged(db, n, "eyes-1", 0.02, "shown", digest);
  await review(db, await copy(7), true, true);
  const [waiting, held, again] = [await copy(8), await copy(9), await copy(10)];
  expect((await rows(db, "select state from photos where id = $1", waiting))[0].state).toBe("review");
  await review(db, held, true, false);
  await undoReview(db.pool, "ann", await decide(db, again, { human: true }), 60);
  await review(db, again, true, false);
  const settings = { ...env, DATABASE_URL: db.url };
  const asked = ["--max-shown", "0.1", "--verdicts"];
  expect((await calibrated(asked, settings)).outcome.photos).toBe(8);
  const { outcome, stderr } = await calibrated([...asked, "--audit"], settings);
  expect(outcome.photos, stderr).toBe(8);
  expect(outcome.strata).toEqual([
    { verdict: "review", reviewed: 1, photos: 1 },
    { verdict: "shown", reviewed: 7, photos: 7 },
  ]);
});

test("weighs each question by how many photos those stand for that answer it", async ({ folder, db }) => {
  const { env } = await paintSet(folder);
  const say = (id: string, human: boolean | null, category: string, audit: boolean) =>
    db.pool.query("select record_review($1, 'ann', 'hidden', $2, $3, $4)", [id, category, human, audit]);
  for (let n = 0; n < 20; n++) {
    const id = await judged(db, n, "eyes-1", 0.01, "shown");
    if (n < 4) await say(id, true, "other", true);
    else if (n < 8) await say(id, null, "food", true);
  }
  for (let n = 20; n < 30; n++) await say(await judged(db, n, "eyes-1", 0.2, "review"), true, "food", false);
  const asked = ["--max-shown", "0.1", "--tag-precision", "0.65", "--verdicts", "--audit"];
  const { outcome, stderr } = await calibrated(asked, { ...env, DATABASE_URL: db.url });
  expect(outcome.strata, stderr).toEqual([
    { verdict: "review", reviewed: 10, photos: 10 },
    { verdict: "shown", reviewed: 4, photos: 20 },
  ]);
  expect(outcome.before.effect["humans"]!.shown.value).toBeCloseTo(20 / 30, 9);
  // right for half of the 20 that were shown, and for all of the 10
  expect(outcome.after.policy.categories["food"]).toBe(0.97);
});

test("warns of too few audits of what is shown where the target is about what is held back, too", async ({
  folder,
  db,
}) => {
  const { env } = await paintSet(folder);
  for (let n = 0; n < 40; n++) {
    const id = await judged(db, n, "eyes-1", 0.01, "shown");
    if (n < 4) await review(db, id, false, true);
  }
  for (let n = 40; n < 50; n++) await review(db, await judged(db, n, "eyes-1", 0.2, "review"), true, false);
  const asked = ["--max-held", "0.8", "--verdicts", "--audit"];
  const { code, outcome, stderr } = await calibrated(asked, { ...env, DATABASE_URL: db.url });
  // what was asked can be told
  expect(code, stderr).toBe(0);
  expect(outcome.warnings.join("\n")).toMatch(
    /^too few audits: 4 of 40 photos that were shown, so that 30 .*: 15 or more/,
  );
  expect(outcome.before.effect["humans"]!.shown).toMatchObject({ value: 0, high: expect.closeTo(0.819, 3) });
});

test("counts photos that weigh the same as they are", async ({ folder, db }) => {
  const { env } = await paintSet(folder);
  for (let n = 0; n < 7; n++) {
    const id = await judged(db, n, "eyes-1", 0.2, "review");
    if (n < 3) await review(db, id, true, false);
  }
  const asked = ["--max-shown", "1", "--verdicts", "--audit"];
  const { outcome, stderr } = await calibrated(asked, { ...env, DATABASE_URL: db.url });
  expect(outcome.warnings.join("\n"), stderr).not.toContain("too few photos");
});

test("takes a category that a moderator left as it was for right", async ({ folder, db }) => {
  const { env } = await paintSet(folder);
  for (let n = 0; n < 20; n++) {
    const id = await judged(db, n, "eyes-1", 0.01, "shown");
    await review(db, id, false, false, n < 5 ? "other" : null);
  }
  // hidden for another reason than a human: nobody looked at its category
  const spam = await judged(db, 20, "eyes-1", 0.01, "shown");
  await db.pool.query("select record_review($1, 'ann', 'hidden')", [spam]);
  const asked = ["--max-held", "0.1", "--tag-precision", "0.7", "--verdicts"];
  const { outcome, stderr } = await calibrated(asked, { ...env, DATABASE_URL: db.url });
  expect(outcome.photos, stderr).toBe(20);
  expect(outcome.before.effect).toMatchObject({
    foodAndAmbience: { photos: 15 },
    otherHumanFree: { photos: 5 },
  });
  expect(outcome.after.policy.categories["food"]).toBe(0.97);
});

test("warns of photos whose sources the model was trained on, and where nobody can tell", async ({
  folder,
  db,
}) => {
  const { set, env } = await paintSet(folder);
  // sha256 of s1 and of listing:0
  const sourceHashes = ["e8bc163c", "b536a1b3"];
  makeModel(join(folder, "models"), "knows-1", { trainedFrom: { sourceHashes } });
  const told = async (...asked: string[]) => {
    const args = ["calibrate", "--json", "--max-shown", "1", ...asked];
    const { out, err } = await ended(args, { ...env, DATABASE_URL: db.url });
    return { stderr: err, trainedOn: JSON.parse(out).trainedOn };
  };
  await reviewed(db, 0, "knows-1", 0.9, true, false);
  for (const asked of [[set], ["--verdicts"]]) {
    const { stderr, trainedOn } = await told("--model", "knows-1", ...asked);
    expect(trainedOn).toEqual([{ model: "knows-1", sources: 1, photos: 1 }]);
    expect(stderr).toContain("warning: knows-1 was trained on sources of this set");
  }
  const { stderr, trainedOn } = await told("--model", "eyes-1", set);
  expect(trainedOn).toEqual([{ model: "eyes-1", sources: null, photos: null }]);
  expect(stderr).toContain("eyes-1 does not say which sources it was trained on");
});

test("says that a policy cannot be rewritten before it judges anything", async ({ folder }) => {
  const aliased = join(folder, "aliased.yaml");
  const shipped = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
  writeFileSync(aliased, shipped.replace("hide: 0.5", "hide: &h 0.5").replace("review: 0.05", "review: *h"));
  const asked = ["calibrate", "--policy", aliased, "--max-shown", "0.1", folder];
  const refused = await ended([...asked, "--out", join(folder, "policy.yaml")], {});
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("--policy: expected plain numbers");
});

test("says which thresholds stay because none is right so often", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  const { outcome } = await calibrated(["--max-shown", "0.1", "--tag-precision", "1", set], env);
  expect(outcome.warnings.join("\n")).toMatch(
    /^categories.ambience, categories.menu, categories.other: no threshold is right so often/m,
  );
});

test.for([
  [["x"], "expected one of --max-shown and --max-held"],
  [["--max-shown", "0.1", "--max-held", "0.1", "x"], "expected one of --max-shown and --max-held"],
  [["--max-shown", "1 %", "x"], "--max-shown: expected a number 0 to 1"],
  [["--max-shown", "0.1"], "expected one labelled folder or labels.jsonl, or --verdicts"],
  [["--max-shown", "0.1", "--audit", "x"], "expected --verdicts too"],
  [["--max-shown", "0.1", "--verdicts", "--since", "soon"], "--since: expected a day"],
] as const)("%j exits 2 and says what was expected", async ([args, message]) => {
  const command = await ended(["calibrate", ...args], { DATABASE_URL: "postgres://nobody@127.0.0.1:1/x" });
  expect(command.code).toBe(2);
  expect(command.err).toContain(message);
});

async function reviewed(
  db: Database,
  n: number,
  model: string,
  score: number,
  human: boolean,
  audit: boolean,
): Promise<void> {
  const id = await judged(db, n, model, score, "shown");
  await review(db, id, human, audit);
}

async function review(
  db: Database,
  id: string,
  human: boolean,
  audit: boolean,
  category: string | null = "food",
): Promise<void> {
  const said = [id, human ? "hidden" : "shown", category, human, audit];
  await db.pool.query("select record_review($1, 'ann', $2, $3, $4, $5)", said);
}

async function judged(
  db: Database,
  n: number,
  model: string,
  score: number,
  verdict: "shown" | "hidden" | "review",
  digest?: string,
): Promise<string> {
  const photo = { store: "s3" as const, bucket: "b", key: `${n}.jpg`, version: "" };
  const [row] = await registerPhotos(db.pool, [{ ...photo, known: { listing: `${n}` } }], "live");
  const { id } = row!;
  const scores = { categories: { food: 0.97, ambience: 0.01, menu: 0.01, other: 0.01 }, human: score };
  const outcome = recorded(id, verdict, `model:${model}`);
  const result = { ...outcome.result, scores, ...(digest && { digest }) };
  await recordOutcomes(db.pool, [{ ...outcome, result }]);
  return id;
}
