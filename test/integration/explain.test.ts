import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, inject } from "vitest";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { colourGraph } from "../onnx.ts";
import { paint } from "../painted.ts";

interface Line {
  where: { x: number; y: number; score: number };
  picture: string;
  human: number;
  error?: { code: string };
}

const lines = (text: string): Line[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
const makeEyes = (folder: string) =>
  makeModel(folder, "eyes-1", { files: { "model.onnx": colourGraph(64) } });

test("the ring that is drawn, and the place that is printed, are where the map has its peak", async ({
  folder,
}) => {
  const spots = [
    { x: 0.25, y: 0.75 },
    { x: 0.5, y: 0.25 },
    { x: 0.75, y: 0.5 },
  ];
  for (const [index, spot] of spots.entries()) {
    const light = { ...spot, bright: 0.9 };
    await paint(join(folder, "photos"), { file: `${index}.png`, colour: [90, 30, 20], light }, 512);
  }
  const out = join(folder, "explained");
  const command = await ended(["classify", "--json", "--explain", out, join(folder, "photos")], {
    MAITRED_MODEL: makeEyes(folder),
  });
  expect(command.code, command.err).toBe(0);
  const judged = lines(command.out);
  expect(judged).toHaveLength(3);
  for (const [index, { where, picture, human }] of judged.entries()) {
    const spot = spots[index]!;
    expect(human).toBeCloseTo(0.9, 1);
    expect(where.score).toBeCloseTo(0.9, 1);
    const ring = await middleOfMark(picture);
    // a cell of the map is an eighth of the frame, and the spot spans two of them
    for (const axis of ["x", "y"] as const) {
      expect(Math.abs(where[axis] - spot[axis])).toBeLessThan(0.125);
      expect(Math.abs(ring[axis] - where[axis])).toBeLessThan(0.01);
    }
  }
});

test("no ring is drawn where no place is likelier to show a human than not, and the picture says so", async ({
  folder,
}) => {
  const light = { x: 0.5, y: 0.25, bright: 0.3 };
  await paint(join(folder, "photos"), { file: "a.png", colour: [90, 30, 20], light }, 512);
  const command = await ended(
    ["classify", "--json", "--explain", join(folder, "out"), join(folder, "photos")],
    {
      MAITRED_MODEL: makeEyes(folder),
    },
  );
  expect(command.code, command.err).toBe(0);
  const [{ where, picture }] = lines(command.out) as [Line];
  expect(where.score).toBeCloseTo(0.3, 1);
  expect(await middleOfMark(picture)).toEqual({ x: 0.5, y: 0.5 });
  const { data } = await pixels(picture);
  expect(data.filter((value) => value > 240).length).toBeGreaterThan(300);
});

test("of a photo that the policy takes for nobody's says so, and of one that it does not that no place is clear", async ({
  folder,
}) => {
  const light = { x: 0.5, y: 0.25, bright: 0.3 };
  await paint(join(folder, "photos"), { file: "a.png", colour: [200, 30, 20], light }, 512);
  const shipped = readFileSync("policy.yaml", "utf8");
  /** Characters on the plate, four pixels from the left: each is four dots wide, and one dot more begins it. */
  const lettersWhere = async (review: number): Promise<number> => {
    const policy = join(folder, `${review}.yaml`);
    writeFileSync(policy, shipped.replace("review: 0.05", `review: ${review}`));
    const command = await ended(
      ["classify", "--json", "--explain", join(folder, "out"), join(folder, "photos")],
      {
        MAITRED_MODEL: makeEyes(folder),
        MAITRED_POLICY: policy,
      },
    );
    expect(command.code, command.err).toBe(0);
    const { data, width, height } = await pixels(lines(command.out)[0]!.picture);
    const red = (x: number): number => data[((height - 2) * width + x) * 3]!;
    let end = 6;
    while (red(end) < 100) end++;
    return Math.round(((end - 4) / DOT - 1) / 4);
  };
  expect(await lettersWhere(0.29)).toBe("0.30 NO CLEAR PLACE".length);
  expect(await lettersWhere(0.31)).toBe("0.30 NOBODY SEEN".length);
});

test("draws what is red where the map is high, and leaves the rest of the photo as it is", async ({
  folder,
}) => {
  const light = { x: 0.25, y: 0.25, bright: 1 };
  await paint(join(folder, "photos"), { file: "a.png", colour: [0, 60, 0], light }, 256);
  const command = await ended(
    ["classify", "--json", "--explain", join(folder, "out"), join(folder, "photos")],
    {
      MAITRED_MODEL: makeEyes(folder),
    },
  );
  expect(command.code, command.err).toBe(0);
  const picture = await pixels(lines(command.out)[0]!.picture);
  // the ring and the score hide some of it
  const inside = [0.16, 0.2, 0.24, 0.28, 0.32].flatMap((x) =>
    [0.16, 0.25, 0.34].map((y) => picture.at(x, y)),
  );
  expect(inside.filter(([red, , blue]) => red! - blue! > 100).length).toBeGreaterThan(7);
  const [red, green, blue] = picture.at(0.8, 0.8);
  expect(Math.max(red!, blue!, Math.abs(green! - 60))).toBeLessThan(12);
});

test("of an animation, draws the frame that most likely shows a human", async ({ folder }) => {
  const lights = [undefined, { x: 0.25, y: 0.75, bright: 0.9 }, { x: 0.75, y: 0.25, bright: 0.4 }];
  for (const [n, light] of lights.entries())
    await paint(folder, { file: `${n}.png`, colour: [n * 20, 60, 0], ...(light && { light }) });
  mkdirSync(join(folder, "photos"));
  const frames = lights.map((_, n) => join(folder, `${n}.png`));
  await sharp(
    frames.map((file) => readFileSync(file)),
    { join: { animated: true } },
  )
    .webp({ lossless: true })
    .toFile(join(folder, "photos/a.webp"));
  const command = await ended(
    ["classify", "--json", "--explain", join(folder, "out"), join(folder, "photos")],
    {
      MAITRED_MODEL: makeEyes(folder),
    },
  );
  expect(command.code, command.err).toBe(0);
  const [{ where, human, picture }] = lines(command.out) as [Line];
  expect(human).toBeCloseTo(0.9, 1);
  expect(Math.hypot(where.x - 0.25, where.y - 0.75)).toBeLessThan(0.15);
  const [red] = (await pixels(picture)).at(0.9, 0.9);
  expect(Math.abs(red! - 20)).toBeLessThan(8);
});

test("photos of one name get pictures of their own, the same each time, and a bad file gets none", async ({
  folder,
}) => {
  const sample = join(inject("samples"), "business-intro.jpg");
  for (const name of ["a", "b"]) {
    mkdirSync(join(folder, "photos", name), { recursive: true });
    copyFileSync(sample, join(folder, "photos", name, "x.jpg"));
  }
  writeFileSync(join(folder, "photos", "bad.jpg"), "words");
  const out = join(folder, "out");
  const run = async (): Promise<string[]> => {
    const command = await ended(["classify", "--json", "--explain", out, join(folder, "photos")]);
    expect(command.code, command.err).toBe(1);
    const judged = lines(command.out);
    expect(judged.filter(({ error }) => error).map(({ error }) => error?.code)).toEqual([
      "UNSUPPORTED_FORMAT",
    ]);
    return judged.flatMap(({ picture }) => picture ?? []);
  };
  const first = await run();
  expect(new Set(first).size).toBe(2);
  expect(await run()).toEqual(first);
  expect(readdirSync(out).map((name) => join(out, name))).toEqual(first.toSorted());
  for (const picture of first) {
    expect(picture).toMatch(/\/x-[0-9a-f]{12}\.jpg$/);
    expect(statSync(picture).size).toBeLessThan(150_000);
    const { format, width, exif } = await sharp(readFileSync(picture)).metadata();
    expect({ format, width, exif }).toEqual({ format: "jpeg", width: 640, exif: undefined });
  }
});

test("refuses to lay pictures among photos, and a model that does not say where", async ({ folder }) => {
  const photos = join(folder, "photos");
  await paint(photos, { file: "in/a.png", colour: [0, 0, 0] });
  for (const out of [photos, join(photos, "out"), join(photos, "in")]) {
    const command = await ended(["classify", "--explain", out, join(photos, "in", "a.png"), photos]);
    expect(command.code).toBe(2);
    expect(command.err).toContain("expected a folder apart from the photos");
  }
  const blind = await ended(["classify", "--explain", join(folder, "out"), photos], {
    MAITRED_MODEL: makeModel(folder, "blind-1"),
  });
  expect(blind.code).toBe(2);
  expect(blind.err).toContain("blind-1 fp32: expected an output human_map");
});

/** Pixels, in the picture of a photo of 512. */
const DOT = 3;

/** The middle of the ring's colour in a picture, 0..1 of the frame. */
async function middleOfMark(path: string): Promise<{ x: number; y: number }> {
  const { width, height, data } = await pixels(path);
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let at = 0; at < width * height; at++) {
    const [red, green, blue] = [data[at * 3]!, data[at * 3 + 1]!, data[at * 3 + 2]!];
    if (red > 80 || green < 180 || blue < 200) continue;
    const [x, y] = [at % width, Math.floor(at / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  }
  return { x: (left + right) / 2 / width, y: (top + bottom) / 2 / height };
}

async function pixels(path: string) {
  const { data, info } = await sharp(readFileSync(path)).raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const at = (x: number, y: number): number[] => {
    const index = (Math.floor(y * height) * width + Math.floor(x * width)) * 3;
    return [...data.subarray(index, index + 3)];
  };
  return { data, width, height, at };
}
