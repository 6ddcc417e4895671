import sharp from "sharp";
import { expect, test } from "vitest";
import { shrink } from "../../src/image/shrink.ts";
import { framesOf, heic, limits } from "../decoded.ts";
import { control, frame, gif, type Place } from "../gif.ts";

const COLOURS = ["ff0000", "00ff00", "0000ff", "808080"];
const [RED, GREEN, BLUE, GREY] = [0, 1, 2, 3];
const NAMES = new Map([...COLOURS, "ffffff", "000000"].map((hex, n) => [hex, "rgb-wk"[n]!]));
const ALL: Place = [0, 0, 64, 64];
const UPPER: Place = [0, 0, 64, 32];
const LEFT: Place = [0, 0, 32, 64];
const of = (...blocks: Uint8Array[]): Buffer => gif(64, 64, COLOURS, ...blocks);

/** What is in the four quarters of each view, row by row: red, green, blue, grey (-), white or black (k). */
const quarters = (views: readonly Uint8Array[]): string[] =>
  views.map((view) =>
    [16 * 64 + 16, 16 * 64 + 48, 48 * 64 + 16, 48 * 64 + 48]
      .map((at) => NAMES.get(Buffer.from(view.subarray(at * 3, at * 3 + 3)).toString("hex")) ?? "?")
      .join(""),
  );

test.each<[string, Buffer, string[]]>([
  ["that is opaque", of(frame(ALL, RED)), ["rrrr"]],
  [
    "whose first frame leaves some of it clear",
    of(frame(UPPER, RED), frame(LEFT, BLUE)),
    ["rrww", "rrkk", "brbw", "brbk"],
  ],
  [
    "of which an opaque frame is cleared",
    of(control(2), frame(ALL, RED), frame(LEFT, BLUE)),
    ["rrrr", "bwbw", "bkbk"],
  ],
  [
    "of which an opaque frame is cleared as far as it goes",
    of(frame(ALL, RED), control(2), frame(UPPER, GREEN), frame(LEFT, BLUE)),
    ["rrrr", "ggrr", "bwbr", "bkbr"],
  ],
  [
    "whose first frame is taken back",
    of(control(3), frame(ALL, RED), frame(LEFT, BLUE)),
    ["rrrr", "bwbw", "bkbk"],
  ],
  [
    "whose second frame is taken back",
    of(frame(ALL, RED), control(3), frame(UPPER, GREEN), frame(LEFT, BLUE)),
    ["rrrr", "ggrr", "brbr"],
  ],
  [
    "whose second control takes back what is clear",
    of(frame(ALL, RED), control(1, BLUE), control(1), frame(LEFT, BLUE)),
    ["rrrr", "brbr"],
  ],
  [
    "of more pixels than colours, which are black",
    of(
      frame(ALL, RED, { colours: Array(256).fill("808080"), bits: 8 }),
      frame(LEFT, 200, { bits: 8 }),
      frame(UPPER, GREY, { colours: COLOURS.slice(0, 2) }),
    ),
    ["----", "k-k-", "kkk-"],
  ],
  [
    "of rows in four passes",
    of(frame(ALL, [...Array(16 * 64).fill(RED), ...Array(48 * 64).fill(BLUE)], { interlaced: true })),
    ["rrrr"],
  ],
])("judges a GIF %s as browsers show it", async (_what, bytes, views) => {
  expect(quarters(await framesOf(bytes))).toEqual(views);
});

test("judges a GIF of a size that screens had as large as it is", async () => {
  const bytes = gif(640, 480, COLOURS, frame([0, 0, 320, 240], RED), frame([320, 240, 320, 240], BLUE));
  expect(quarters(await framesOf(bytes))).toEqual(["rwww", "rkkk", "rwwb", "rkkb"]);
});

test("shows moderators of a GIF what is judged", async () => {
  const bytes = of(control(2), frame(ALL, RED), frame(LEFT, BLUE));
  const picture = await shrink(bytes, { ...limits, frame: 1 }, heic.decode);
  const { data } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
  expect([...data.subarray(48 * 3, 48 * 3 + 3)]).toEqual([255, 255, 255]);
  const sheet = await sharp(await shrink(bytes, { ...limits, sheet: true }, heic.decode)).metadata();
  expect(sheet).toMatchObject({ width: 64, height: 64 });
});
