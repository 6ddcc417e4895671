import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect } from "vitest";
import { makeThumbnails } from "../../src/cli/thumbnails.ts";
import { readConfig } from "../../src/config.ts";
import { readLabelled, readLabelledSet } from "../../src/evaluate/labelled.ts";
import type { Report } from "../../src/evaluate/report.ts";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { colourGraph } from "../onnx.ts";
import { type Painted, paint } from "../painted.ts";

const [RED, GREEN, BLUE] = [
  [220, 0, 0],
  [0, 220, 0],
  [0, 0, 220],
] as const;
const CENTRE = { x: 0.5, y: 0.5 };

/** What is painted, and what people say of it: two mistakes of theirs are mistakes of the model's. */
const PHOTOS: (Painted & { category: string | null; human: boolean | null; [more: string]: unknown })[] = [
  ...[0, 1, 2, 3].map((n) => ({
    file: `food ${n}.png`,
    colour: RED,
    category: "food",
    human: false,
    source: `s${n}`,
  })),
  { file: "room.png", colour: GREEN, category: "ambience", human: false, source: "s1" },
  { file: "card.png", colour: BLUE, category: "menu", human: false, source: "s2" },
  { file: "bar.png", colour: GREEN, category: "food", human: false, source: "s3" },
  { file: "guest.png", colour: RED, human: true, category: null, source: "s4" },
  { file: "missed.png", colour: RED, human: true, small: true, category: "food", source: "s4" },
  { file: "bust.png", colour: RED, human: false, kind: "statue", category: "other", source: "s5" },
];

/** Paints the photos and writes their labels; its model sees what is painted. */
async function paintSet(folder: string): Promise<{ set: string; env: Record<string, string> }> {
  const set = join(folder, "set");
  for (const photo of PHOTOS) {
    const bright = photo.file === "guest.png" || photo.file === "bust.png" ? 0.95 : 0;
    await paint(set, { ...photo, ...(bright > 0 && { light: { ...CENTRE, bright } }) });
  }
  const lines = PHOTOS.map(({ colour: _, ...label }) => JSON.stringify(label));
  writeFileSync(join(set, "labels.jsonl"), `${lines.join("\n")}\n`);
  const models = join(folder, "models");
  makeModel(models, "eyes-1", { files: { "model.onnx": colourGraph(64) } });
  makeModel(models, "hungry-1", { files: { "model.onnx": colourGraph(64, 9) } });
  return { set, env: { MAITRED_MODELS: models } };
}

async function evaluated(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; report: Report; stderr: string }> {
  const { code, out, err } = await ended(["evaluate", "--json", ...args], env);
  return { code, report: JSON.parse(out || "{}") as Report, stderr: err };
}

test("measures what the model says of each photo, with the real policy", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  const { code, report, stderr } = await evaluated(["--model", "eyes-1", set], env);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain("eyes-1 fp32: 10/10 photos");
  const [subject, ...rest] = report.subjects;
  expect(rest).toEqual([]);
  expect(subject).toMatchObject({ name: "eyes-1 fp32", model: "eyes-1", variant: "fp32", provider: "cpu" });
  const { category, human, effect, mistakes, photos, sources } = subject!.evaluation;
  expect({ photos, sources }).toEqual({ photos: 10, sources: 6 });
  expect(category.confusion).toEqual([
    [5, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [1, 0, 0, 0],
  ]);
  expect(human).toMatchObject({ photos: 10, humans: 2 });
  expect(effect.humans.shown).toMatchObject({ hits: 1, of: 2 });
  expect(effect.smallHumans.shown).toMatchObject({ hits: 1, of: 1 });
  expect(effect.foodAndAmbience.held).toMatchObject({ hits: 0, of: 6 });
  expect(effect.otherHumanFree.rules).toEqual({ verify: 1 });
  expect(effect.likenesses.rules).toEqual({ human: 1 });
  expect(mistakes.humansShown.worst.map(({ file }) => file)).toEqual(["missed.png"]);
  expect(mistakes.heldForHuman.worst.map(({ file }) => file)).toEqual(["bust.png"]);
  expect(mistakes.wrongCategory.worst.map(({ file }) => file).sort()).toEqual(["bar.png", "bust.png"]);
});

test("writes one page that needs nothing else, with the mistakes on it, and the same figures as JSON", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "deep", "report");
  const command = await ended(["evaluate", "--model", "eyes-1", "--out", out, set], env);
  expect(command.code, command.err).toBe(0);
  expect(command.out).toMatch(/category accuracy +77\.8 % +[\d.]+ to [\d.]+ %/);
  expect(command.out).toMatch(/with a human +2 +50\.0 % \(.*\) +50\.0 % \(.*\) +human 1/);
  expect(command.out).toContain(join(out, "index.html"));
  expect(readdirSync(out).sort()).toEqual(["evaluation.json", "index.html"]);
  const page = readFileSync(join(out, "index.html"), "utf8");
  expect(page).not.toMatch(/<script|https?:\/\//);
  const pictures = [...page.matchAll(/<img src="data:image\/jpeg;base64,([^"]+)" alt="([^"]+)">/g)];
  expect(pictures.map(([, , alt]) => alt)).toContain("photo labelled food, small human");
  for (const [, data] of pictures) {
    const bytes = Buffer.from(data!, "base64");
    expect(bytes.subarray(0, 3).toString("hex")).toBe("ffd8ff");
    expect(bytes.includes("Exif")).toBe(false);
  }
  const report = JSON.parse(readFileSync(join(out, "evaluation.json"), "utf8")) as Report;
  expect(report.subjects[0]?.evaluation.category.accuracy.value).toBeCloseTo(7 / 9, 5);
  expect(JSON.stringify(report)).not.toContain(set);
});

test("its pictures show every frame of an animation that was judged, side by side", async ({ folder }) => {
  const frame = (background: string) =>
    sharp({ create: { width: 40, height: 40, channels: 3, background } })
      .png()
      .toBuffer();
  const path = join(folder, "a.gif");
  await sharp([await frame("black"), await frame("white")], { join: { animated: true } }).toFile(path);
  const picture = (await makeThumbnails(readConfig({}), [path])).get(path)!;
  const pixels = await sharp(Buffer.from(picture.split(",")[1]!, "base64"))
    .resize(2, 2, { kernel: "nearest" })
    .raw()
    .toBuffer();
  expect([pixels[0]! < 20, pixels[3]! > 235]).toEqual([true, true]);
});

test("sets two models side by side, and names the photos on which they differ", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  const out = join(folder, "report");
  const args = ["--model", "eyes-1", "--compare", "hungry-1", "--out", out, set];
  const { code, report, stderr } = await evaluated(args, env);
  expect(code, stderr).toBe(0);
  expect(report.subjects.map(({ model }) => model)).toEqual(["eyes-1", "hungry-1"]);
  const { duels, differences, photos } = report.comparison!;
  expect(photos).toBe(10);
  // it takes everything for food, which is right for the bar
  expect(duels[0]).toMatchObject({ photos: 9, active: 7, candidate: 6, onlyActive: 2, onlyCandidate: 1 });
  expect(duels[1]).toMatchObject({ onlyActive: 0, onlyCandidate: 0, p: 1 });
  expect(differences.map(({ file, right }) => [file, right.category])).toEqual([
    ["card.png", "first"],
    ["room.png", "first"],
    ["bar.png", "second"],
  ]);
  expect(readFileSync(join(out, "index.html"), "utf8")).toContain("They differ on 3 photos");
});

test("goes on after lines that are no labels or say a photo again, and photos that cannot be judged, and names them", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  writeFileSync(join(set, "torn.jpg"), "words");
  const bad = [
    "{nonsense",
    '{"file": "x.jpg", "category": "soup"}',
    '{"file": "gone.jpg", "category": "food"}',
    '{"file": "torn.jpg", "category": "food"}',
    '{"file": "./room.png", "category": "food"}',
  ];
  const lines = readFileSync(join(set, "labels.jsonl"), "utf8");
  // as some editors begin a file, and as others write all of it; the first of the two is UTF-8
  const text = `\ufeff${lines}${bad.join("\n")}\n{"file": "bar.png", "source": "caf\ufffd"}\n{"file": "cafe.jpg", "source": "caf`;
  writeFileSync(
    join(set, "labels.jsonl"),
    Buffer.concat([Buffer.from(text), Buffer.from('\xe9"}', "latin1")]),
  );
  const out = join(folder, "report");
  const { code, report } = await evaluated(["--model", "eyes-1", "--out", out, set], env);
  expect(code).toBe(1);
  expect(report.subjects[0]?.evaluation.photos).toBe(10);
  expect(report.problems).toEqual([
    expect.stringMatching(/labels\.jsonl:11: expected a JSON object/),
    expect.stringMatching(/labels\.jsonl:12: category: expected one of food/),
    expect.stringMatching(/labels\.jsonl:15: \.\/room\.png is on line 5 already, which counts/),
    expect.stringMatching(/labels\.jsonl:16: bar\.png is on line \d+ already/),
    expect.stringMatching(/labels\.jsonl:17: expected UTF-8$/),
  ]);
  expect(report.unjudged.map(({ file, code }) => [file, code])).toEqual([
    ["gone.jpg", "GONE"],
    ["torn.jpg", "UNSUPPORTED_FORMAT"],
  ]);
  const page = readFileSync(join(out, "index.html"), "utf8");
  for (const name of ["gone.jpg: GONE", "torn.jpg: UNSUPPORTED_FORMAT", "labels.jsonl:12"]) {
    expect(page).toContain(name);
  }
});

test("reads folders named by what is in them, and follows another policy", async ({ folder }) => {
  const { env } = await paintSet(folder);
  const set = join(folder, "sorted");
  await paint(set, { file: "Food/nohuman/a.png", colour: RED });
  await paint(set, { file: "human/b.png", colour: RED, light: { ...CENTRE, bright: 0.3 } });
  const policy = join(folder, "lax.yaml");
  writeFileSync(
    policy,
    "version: 1\nhuman: { hide: 0.9, review: 0.9 }\ncategories: { food: 0, ambience: 0, menu: 1, other: 0 }\nverify: []\n",
  );
  const shown = async (...more: string[]) => {
    const { report } = await evaluated(["--model", "eyes-1", ...more, set], env);
    return report.subjects[0]?.evaluation.effect.humans.shown.hits;
  };
  expect(await shown()).toBe(0);
  expect(await shown("--policy", policy)).toBe(1);
});

test("follows links among the folders, and names those that lead nowhere", async ({ folder }) => {
  const set = join(folder, "set");
  for (const path of ["elsewhere/nohuman", "set/human"]) mkdirSync(join(folder, path), { recursive: true });
  for (const path of ["elsewhere/nohuman/a.jpg", "set/human/b.jpg"]) writeFileSync(join(folder, path), path);
  symlinkSync(join(folder, "elsewhere"), join(set, "food"));
  symlinkSync(join(folder, "elsewhere"), join(folder, "elsewhere", "round"));
  for (const name of ["menu", "read-me"]) symlinkSync(join(folder, "unmounted"), join(set, name));
  const { labels, problems } = await readLabelledSet(set, ["food", "menu"]);
  expect(labels.map(({ file, category, human }) => [file, category, human])).toEqual([
    ["food/nohuman/a.jpg", "food", false],
    ["human/b.jpg", null, true],
  ]);
  const nothing = `${join(set, "menu")}: expected a photo or a folder, got a link to nothing`;
  expect(problems).toEqual([nothing]);
  // a photo may be in one folder for its category, and in another for whether it has a human; not in two for the same
  symlinkSync(join(set, "human"), join(set, "drinks"));
  symlinkSync(join(set, "human"), join(set, "human-too"));
  mkdirSync(join(set, "more"));
  symlinkSync(join(set, "human"), join(set, "more", "human"));
  const again = await readLabelledSet(set, ["food", "menu", "drinks"]);
  expect(again.labels.map(({ file }) => file)).toEqual(["drinks/b.jpg", "food/nohuman/a.jpg", "human/b.jpg"]);
  expect(again.copies).toContain(
    `${join(set, "more/human/b.jpg")}: is ${join(set, "human/b.jpg")} already, which counts`,
  );
});

test("counts photos of the same bytes once, and names the others", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  const copies = ["copy.png", "link.png", "other.png"];
  copyFileSync(join(set, "room.png"), join(set, "copy.png"));
  symlinkSync(join(set, "room.png"), join(set, "link.png"));
  // of the same size
  writeFileSync(join(set, "other.png"), readFileSync(join(set, "room.png")).reverse());
  const lines = copies.map((file) => `${JSON.stringify({ file, category: "menu", source: file })}\n`);
  writeFileSync(join(set, "labels.jsonl"), lines.join(""), { flag: "a" });
  const { code, report } = await evaluated(["--model", "eyes-1", set], env);
  expect(code).toBe(1);
  expect(report.labelled).toBe(PHOTOS.length + 1);
  expect(report.problems).toEqual(
    copies.slice(0, 2).map((name) => `${join(set, name)}: is ${join(set, "room.png")} already, which counts`),
  );
  // it is no mistake of whoever labelled
  expect(await readLabelled(join(set, "labels.jsonl"), ["food", "ambience", "menu", "other"])).toHaveLength(
    PHOTOS.length + 1,
  );
});

test("compares models and not their variants where the environment names one", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  for (const id of ["a-1", "b-1"]) {
    const files = { "model.onnx": colourGraph(64), "model.int8.onnx": colourGraph(64) };
    makeModel(env["MAITRED_MODELS"]!, id, { files, variants: { cpu: "model.int8.onnx" } });
  }
  const names = async (...more: string[]) => {
    const args = ["--model", "a-1", "--compare", "b-1", "--limit", "1", ...more, set];
    const { report, stderr } = await evaluated(args, { ...env, MAITRED_VARIANT: "fp32" });
    expect(report.subjects, stderr).toBeDefined();
    return report.subjects.map(({ name }) => name);
  };
  expect(await names()).toEqual(["a-1 fp32", "b-1 fp32"]);
  expect(await names("--compare-variant", "auto")).toEqual(["a-1 fp32", "b-1 int8"]);
});

test("says what is wrong before it judges anything", async ({ folder }) => {
  const { set, env } = await paintSet(folder);
  mkdirSync(join(folder, "empty"));
  makeModel(env["MAITRED_MODELS"]!, "odd-1", { categories: ["cats", "dogs"] });
  for (const [args, message] of [
    [[set, "--worst", "none"], "--worst: expected a whole number from 1 up"],
    [[join(folder, "none"), "--model", "eyes-1"], `${join(folder, "none")}: there is no such file or folder`],
    [[join(folder, "empty"), "--model", "eyes-1"], "it has no labelled photos"],
    [[set, "--model", "eyes-1", "--compare", "odd-1"], "expected the categories food, ambience, menu, other"],
    [[set, "--model", "eyes-1", "--variant", "int9"], "no variant int9"],
  ] as const) {
    const command = await ended(["evaluate", ...args], env);
    expect(command.code).toBe(2);
    expect(command.err).toContain(message);
  }
});

test("says so where none of the photos can be judged", async ({ folder, db }) => {
  const { set, env } = await paintSet(folder);
  for (const { file } of PHOTOS) rmSync(join(set, file));
  const none = await ended(["evaluate", "--model", "eyes-1", set], { ...env, DATABASE_URL: db.url });
  expect(none.code).toBe(2);
  expect(none.err).toContain("expected photos that can be judged, got none");
});

test("warns of a set whose sources the model was trained on, and where nobody can tell", async ({
  folder,
}) => {
  const { set, env } = await paintSet(folder);
  // sha256 of s1
  makeModel(join(folder, "models"), "knows-1", { trainedFrom: { sourceHashes: ["e8bc163c"] } });
  const { report, stderr } = await evaluated(["--model", "knows-1", "--compare", "eyes-1", set], env);
  expect(report.trainedOn).toEqual([
    { model: "knows-1", sources: 1, photos: 2 },
    { model: "eyes-1", sources: null, photos: null },
  ]);
  expect(stderr).toContain("warning: knows-1 was trained on sources of this set");
  expect(stderr).toContain(
    "eyes-1 does not say which sources it was trained on: whether photos of this set are among them cannot be told\n",
  );
});

test("runs the active model where a database is named", async ({ folder, db }) => {
  const { set, env } = await paintSet(folder);
  const promote = await ended(["model", "promote", "hungry-1", "--force", "--reason", "test"], {
    ...env,
    DATABASE_URL: db.url,
  });
  expect(promote.code, promote.err).toBe(0);
  const { report } = await evaluated([set], { ...env, DATABASE_URL: db.url });
  expect(report.subjects[0]?.model).toBe("hungry-1");
});
