import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { ended } from "../maitred.ts";
import { CATEGORIES, graphThatSays, makeModel } from "../models.ts";
import { promote, test } from "../promoted.ts";

const samples = inject("samples");
const shipped = join(packageRoot(), "models", "restaurant-6");

describe("maitred model", () => {
  /** The model that ships, under another version; `categories` in another order make it wrong. */
  function copyShipped(models: string, id: string, categories = CATEGORIES): string {
    const { files: names, variants, input } = JSON.parse(readFileSync(join(shipped, "model.json"), "utf8"));
    const files = Object.fromEntries(
      Object.keys(names).map((name) => [name, readFileSync(join(shipped, name))]),
    );
    return makeModel(models, id, { side: input.side, files, variants, categories });
  }

  function goldOf(folder: string): string {
    const truth: Record<string, string> = { "business-product": "food", menu: "menu" };
    const lines = readdirSync(samples).flatMap((file) => {
      const category = Object.entries(truth).find(([start]) => file.startsWith(start))?.[1] ?? null;
      const human = file.startsWith("landing-portrait") ? true : category ? false : null;
      if (!category && !human) return [];
      // 5 photos alone are too few to tell models apart: the same ones again, as of other days, with a comment
      const bytes = readFileSync(join(samples, file));
      const comment = Buffer.from([0xff, 0xfe, 0, 4, 0, 0]);
      writeFileSync(join(folder, file), Buffer.concat([bytes.subarray(0, 2), comment, bytes.subarray(2)]));
      return [join(samples, file), file].map((each) => JSON.stringify({ file: each, category, human }));
    });
    const path = join(folder, "labels.jsonl");
    writeFileSync(path, lines.join("\n"));
    return path;
  }

  test("promotes what is not worse than the one that ships, with the figures", async ({
    models,
    folder,
    db,
  }) => {
    copyShipped(models, "restaurant-7");
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const gold = goldOf(folder);
    const good = await ended(
      ["model", "promote", "restaurant-7", "--gold", gold, "--by", "ann", "--json"],
      env,
    );
    expect(good.code, good.err).toBe(0);
    const report = JSON.parse(good.out);
    expect(report).toMatchObject({ promoted: true, from: "restaurant-6", to: "restaurant-7", worse: [] });
    expect(report.duels[0]).toMatchObject({ question: "category", onlyActive: 0, onlyCandidate: 0, p: 1 });
    expect(report.duels[0].photos).toBeGreaterThanOrEqual(10);

    const { rows } = await db.pool.query("select from_model, to_model, by, why, figures from promotions");
    const why =
      "not worse on the gold set: 10 photos with a category, 6 photos with a human, 10 photos without a human";
    expect(rows).toEqual([
      { from_model: "restaurant-6", to_model: "restaurant-7", by: "ann", why, figures: report.duels },
    ]);
  });

  test("refuses a gold set of which too few photos tell whether it holds back humans, unless forced", async ({
    models,
    folder,
    db,
  }) => {
    copyShipped(models, "restaurant-7");
    mkdirSync(join(folder, "food"));
    copyFileSync(join(samples, "business-product-1.jpg"), join(folder, "food/a.jpg"));
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const args = ["model", "promote", "restaurant-7", "--gold", folder];
    const command = await ended(args, env);
    expect(command.code, command.err).toBe(1);
    expect(command.err).toMatch(/^--gold: 0 photos with a human, of which too few say nothing: give 6/m);
    expect(command.err).toMatch(/^restaurant-7 does not say which sources it was trained on: /m);
    expect(command.out).toMatch(/^category +1 .* too few photos to tell$/m);
    expect(command.out).toMatch(/^humans held back +0 .* not measured$/m);
    expect(command.out).toMatch(
      /^restaurant-7 is not promoted: .*0 photos with a human.* tell nothing, 6 or more of each could; --force/m,
    );
    expect((await db.pool.query("select from models")).rowCount).toBe(0);
    const forced = await ended([...args, "--force", "--reason", "to see", "--json"], env);
    expect(forced.code, forced.err).toBe(0);
    expect(JSON.parse(forced.out)).toMatchObject({
      promoted: true,
      unmeasured: ["category", "human", "clear"],
      trainedOn: [{ model: "restaurant-7", sources: null, photos: null }],
    });
  });

  test("refuses a gold set of which a photo cannot be judged, and names it", async ({
    models,
    folder,
    db,
  }) => {
    copyShipped(models, "restaurant-7");
    const gold = goldOf(folder);
    writeFileSync(
      gold,
      `${readFileSync(gold, "utf8")}\n{"file":"gone.jpg","category":"food","human":true}\n`,
    );
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const command = await ended(["model", "promote", "restaurant-7", "--gold", gold], env);
    expect(command.code).toBe(2);
    expect(command.err).toMatch(/expected photos that can be judged.*: 1 of /);
    expect(command.err).toContain("gone.jpg: ");
    expect((await db.pool.query("select from models")).rowCount).toBe(0);
  });

  test("refuses what is worse, promotes it by force, and goes back", async ({ models, folder, db }) => {
    await promote(db, copyShipped(models, "restaurant-7"));
    copyShipped(models, "restaurant-8", ["menu", "other", "food", "ambience"]);
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const bad = await ended(["model", "promote", "restaurant-8", "--gold", goldOf(folder)], env);
    expect(bad.code, bad.err).toBe(1);
    expect(bad.out).toMatch(/restaurant-8 is not promoted: it is worse beyond chance in category/);
    const { rows } = await db.pool.query("select id from models where state = 'active'");
    expect(rows).toEqual([{ id: "restaurant-7" }]);
    const forced = await ended(["model", "promote", "restaurant-8", "--force", "--reason", "to see"], env);
    expect(forced.code, forced.err).toBe(0);

    const back = await ended(["model", "rollback", "--reason", "it was worse", "--by", "bob"], env);
    expect(back.code, back.err).toBe(0);
    expect(back.out).toContain("restaurant-7 is active again, after restaurant-8");
    for (const [command, id] of [
      [forced, "restaurant-8"],
      [back, "restaurant-7"],
    ] as const) {
      expect(command.err).toContain(`the thresholds of restaurant-6, not of ${id}`);
    }
    const again = await ended(["model", "rollback", "--reason", "bad", "--from", "restaurant-8"], env);
    expect(again.code).toBe(2);
    expect(again.err).toContain("restaurant-7 is active, not restaurant-8");
    const list = await ended(["model", "list", "--json"], env);
    expect(list.code, list.err).toBe(0);
    const { models: listed, history } = JSON.parse(list.out);
    expect(listed).toMatchObject([
      { id: "restaurant-6", state: "" },
      { id: "restaurant-7", state: "active", problem: "" },
      { id: "restaurant-8", state: "retired" },
    ]);
    expect(history).toMatchObject([
      { kind: "rollback", from: "restaurant-8", to: "restaurant-7", by: "bob", why: "it was worse" },
      { kind: "promote", to: "restaurant-8", why: "to see", figures: null },
      { kind: "promote", from: null, to: "restaurant-7", by: "ann", figures: null },
    ]);
  });

  test("promotes nothing without a gold set, or unmeasured without a reason", async ({ db }) => {
    for (const args of [["restaurant-6"], ["restaurant-6", "--force"]]) {
      const command = await ended(["model", "promote", ...args], { DATABASE_URL: db.url });
      expect(command.code).toBe(2);
      expect(command.err).toContain("--reason");
    }
    expect((await db.pool.query("select from models")).rowCount).toBe(0);
  });

  test("says so where MAITRED_MODELS names a file", async ({ models }) => {
    const file = join(makeModel(models, "a-1"), "model.json");
    const list = await ended(["model", "list"], { MAITRED_MODELS: file, MAITRED_HOME: models });
    expect(list.code).toBe(2);
    expect(list.err).toContain(`got the file ${file}: mend MAITRED_MODELS`);
  });

  test("lists a model with its figures, as training measured them", async ({ models }) => {
    const measured = { categoryAccuracy: [0.9215, 0.8937, 0.9461], macroF1: 0.5, humanAveragePrecision: "?" };
    makeModel(models, "a-1", { measured });
    const list = await ended(["model", "list"], { MAITRED_MODELS: models, MAITRED_HOME: models });
    expect(list.code, list.err).toBe(0);
    expect(list.out).toMatch(/^ +a-1 +- +0\.921 +0\.500 +- /m);
    expect(list.out).toMatch(/^ +restaurant-6: its figures are those of restaurant-3 for categories/m);
    expect(list.out).not.toContain("a-1: its figures");
    expect(list.out).toMatch(/^\* +restaurant-6 +default +0\.\d{3} +0\.\d{3} +0\.\d{3} /m);
  });

  test("verifies every variant, and finds one that says something else", async ({ models }) => {
    const plain = graphThatSays({ says: "food" });
    makeModel(models, "good-1", { files: { "model.onnx": plain, "model.int8.onnx": plain } });
    const other = graphThatSays({ says: "menu" });
    makeModel(models, "bad-1", { files: { "model.int8.onnx": other, "model.onnx": plain } });
    const env = { MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const good = await ended(["model", "verify", "good-1", "restaurant-6"], env);
    expect(good.code, good.err).toBe(0);
    expect(good.out).toMatch(/ok +good-1 +int8 +cpu +[\d.]+ +0.0000/);
    expect(good.out).toMatch(/ok +restaurant-6 +fp32 +cpu +[\d.]+ +0.0000/);
    const labelled = join(models, "labelled");
    mkdirSync(labelled);
    symlinkSync(samples, join(labelled, "linked"));
    const line = '{"file":"linked/menu-1.jpg","category":"exterior","human":"no"}';
    writeFileSync(join(labelled, "labels.jsonl"), `null\n{"file":\n${line}\n`);
    const bad = await ended(["model", "verify", join(models, "bad-1"), "--json", "--photos", labelled], env);
    expect(bad.code, bad.err).toBe(1);
    expect(JSON.parse(bad.out)).toMatchObject([
      { variant: "fp32", agrees: true, meanDifference: 0 },
      { variant: "int8", agrees: false },
    ]);
    copyFileSync(join(samples, "menu-1.jpg"), join(labelled, "menu-1.jpg"));
    writeFileSync(join(labelled, "labels.jsonl"), '{"photo":"menu-1.jpg"}\n{"file":"gone.jpg"}\n');
    const walked = await ended(["model", "verify", "good-1", "--photos", labelled], env);
    expect(walked.code, walked.err).toBe(0);
  });
});

describe("a shadow", () => {
  test("is told of in JSON, and its share in words as it was given", async ({ models, db }) => {
    makeModel(models, "b-1", { says: "menu" });
    const shadow = async (...args: string[]): Promise<string> => {
      const command = await ended(["model", "shadow", ...args], {
        DATABASE_URL: db.url,
        MAITRED_MODELS: models,
      });
      expect(command.code, command.err).toBe(0);
      return command.out;
    };
    expect(await shadow("b-1", "--share", "0.07")).toContain("b-1 judges 7 % of the live photos");
    expect(JSON.parse(await shadow("b-1", "--json"))).toEqual({ shadow: "b-1", share: 0.05 });
    expect(JSON.parse(await shadow("--stop", "--json"))).toEqual({ shadow: null, before: "b-1" });
    expect(JSON.parse(await shadow("--stop", "--json"))).toEqual({ shadow: null, before: null });
  });
});
