import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { policyIdOf } from "../../src/decide/policy.ts";
import { packageRoot } from "../../src/package-root.ts";
import { test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { makeModel } from "../models.ts";

const samples = inject("samples");

const jsonLines = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("classify", () => {
  test("prints one object a line in the order given, goes on after bad files, and exits 1 for them", async ({
    folder,
  }) => {
    const deep = join(folder, "a", "b");
    mkdirSync(deep, { recursive: true });
    copyFileSync(join(samples, "business-product-1.jpg"), join(deep, "coffee.txt"));
    writeFileSync(join(deep, "bad.jpg"), "words");
    writeFileSync(join(deep, ".hidden"), "");
    symlinkSync("nowhere", join(deep, "dangling.jpg"));
    const menu = join(samples, "menu-1.jpg");
    const command = maitred(["classify", "--json", menu, folder, join(folder, "nowhere.jpg")]);
    expect(await command.exit).toBe(1);
    const lines = jsonLines(command.stdout());
    expect(lines.map(({ path }) => path)).toEqual([
      menu,
      ...["bad.jpg", "coffee.txt", "dangling.jpg"].map((name) => join(deep, name)),
      join(folder, "nowhere.jpg"),
    ]);
    expect(lines.map(({ error }) => error?.code)).toEqual([
      undefined,
      "UNSUPPORTED_FORMAT",
      undefined,
      "GONE",
      "GONE",
    ]);
    const policy = policyIdOf(readFileSync(join(packageRoot(), "policy.yaml"), "utf8"));
    const said = { category: "menu", verdict: "review", rule: "verify", model: "restaurant-6", policy };
    expect(lines[0]).toMatchObject(said);
    expect(lines[0].tags).toContainEqual({ category: "menu", score: lines[0].scores.menu, threshold: 0.15 });
    expect(Object.keys(lines[0])).toEqual([
      "path",
      "category",
      "scores",
      "human",
      "tags",
      "verdict",
      "rule",
      "reason",
      "model",
      "policy",
    ]);
    expect(Object.keys(lines[0].scores)).toEqual(["food", "ambience", "menu", "other"]);
    expect(
      lines[0].scores.food + lines[0].scores.ambience + lines[0].scores.menu + lines[0].scores.other,
    ).toBeCloseTo(1, 2);
  });

  test("says no rate where nothing was judged, and names no folder of pictures that it did not make", async ({
    folder,
  }) => {
    const explained = join(folder, "explained");
    const command = await ended(["classify", "--explain", explained, join(folder, "nowhere.jpg")]);
    expect(command.code).toBe(1);
    expect(command.err).toMatch(/^0 judged, 1 not, on c.*\n$/);
  });

  test("says that there is no photo where there is none, and exits 2", async ({ folder }) => {
    const command = await ended(["classify", folder]);
    expect(command.code).toBe(2);
    expect(command.err).toContain(`no photos in ${folder}`);
  });

  test("exits 0 when every file was judged, and follows another policy", async ({ folder }) => {
    const policy = join(folder, "policy.yaml");
    writeFileSync(
      policy,
      "version: 1\nhuman: { hide: 1, review: 1 }\ncategories: { food: 0, ambience: 0, menu: 0, other: 0 }\nverify: []\n",
    );
    const command = await ended(["classify", "--json", join(samples, "landing-portrait-1.jpg")], {
      MAITRED_POLICY: policy,
    });
    expect(command.code).toBe(0);
    expect(jsonLines(command.out)[0]).toMatchObject({ verdict: "shown" });
  });

  test("scores are cut, so that none reads as having reached a threshold that it did not reach", async ({
    folder,
  }) => {
    const settings = { MAITRED_MODEL: makeModel(folder, "near-1", { human: 0.49996 }) };
    const photo = join(samples, "menu-1.jpg");
    const [text, json] = [
      ["classify", photo],
      ["classify", "--json", photo],
    ].map((args) => maitred(args, settings));
    expect(await text!.exit, text!.stderr()).toBe(0);
    expect(text!.stdout()).toMatch(/ human 0\.49 .* human 0\.49 is between 0\.05 and 0\.50/);
    expect(await json!.exit, json!.stderr()).toBe(0);
    expect(jsonLines(json!.stdout())[0].human).toBe(0.4999);
  });

  test("judges as many files as a pattern of the shell names, and tells nobody of it", async ({ folder }) => {
    const paths = Array.from({ length: 520 }, (_, n) => join(folder, `a-photo-that-is-not-there-${n}.jpg`));
    // where CI is set the runtime keeps quiet by itself
    const command = maitred(["classify", "--json", ...paths], { CI: "", TMPDIR: folder });
    expect(await command.exit).toBe(1);
    expect(jsonLines(command.stdout())).toHaveLength(520);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("refuses a model whose file is not the one that was measured", async ({ folder }) => {
    writeFileSync(join(folder, "model.onnx"), "x");
    const model = {
      name: "m",
      version: "1",
      files: { "model.onnx": { sha256: "0".repeat(64) } },
      input: { side: 224, fit: "squash" },
      categories: ["a", "b"],
    };
    writeFileSync(join(folder, "model.json"), JSON.stringify(model));
    const command = await ended(["classify", join(samples, "menu-1.jpg")], { MAITRED_MODEL: folder });
    expect(command.code).toBe(2);
    expect(command.err).toContain(`${join(folder, "model.onnx")}: expected sha256`);
  });
});
