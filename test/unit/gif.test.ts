import { expect, test } from "vitest";
import { asBrowsersRead } from "../../src/image/gif.ts";
import { coded, control, frame, gif, type Place } from "../gif.ts";

const COLOURS = ["ff0000", "00ff00", "0000ff", "ffffff"];
const ALL: Place = [0, 0, 16, 16];
const PLAIN = frame(ALL, 0);
const of = (...blocks: (Uint8Array | number[])[]): Buffer =>
  gif(16, 16, COLOURS, ...blocks.map((block) => Uint8Array.from(block)));
const cut = (bytes: Buffer, from: number): Buffer => bytes.subarray(0, from);

test.each([
  ["a control of 3 bytes", of([0x21, 0xf9, 3, 1, 0, 0, 0], PLAIN), "4 bytes, got another"],
  ["a control of 5 bytes", of([0x21, 0xf9, 5, 1, 0, 0, 0, 0, 0], PLAIN), "4 bytes, got another"],
  ["a control of two parts", of([0x21, 0xf9, 1, 1, 2, 0, 0, 0], PLAIN), "4 bytes, got another"],
  ["a control that goes on", of([0x21, 0xf9, 4, 1, 0, 0, 0, 1, 0, 0], PLAIN), "4 bytes, got another"],
  ["a frame without colours", gif(16, 16, [], PLAIN), "without a table"],
  ["a frame without pixels", of(frame([0, 0, 0, 16], 0)), "got one without, which"],
  ["pixels of one bit", of(frame(ALL, 0, { bits: 1 })), "got 1"],
  ["pixels of nine bits", of(frame(ALL, 0, { bits: 9 })), "got 9"],
  ["a later frame beyond its rim", of(PLAIN, frame([1, 0, 16, 16], 0)), "beyond its rim"],
  ["a first frame too far off", of(frame([65_535, 0, 1, 1], 0)), "beyond its rim"],
])("refuses a gif of %s", async (_what, bytes, message) => {
  await expect(asBrowsersRead(bytes)).rejects.toThrow(
    expect.objectContaining({ code: "UNSUPPORTED_FORMAT", message: expect.stringContaining(message) }),
  );
});

/** All of its pixels but some, and then the end of them. */
const short = frame(ALL, Array(250).fill(0));
const twice = of(PLAIN, PLAIN);
/** A frame of two bits, of which these are the codes: 4 begins anew, 5 ends, and 6 is the first that those before it name. */
const told = (place: Place, ...codes: number[]): Buffer =>
  Buffer.concat([frame(place, 0).subarray(0, 10), coded(2, ...codes)]);
const zeros = (count: number): number[] => Array(count).fill(0);

test.each([
  ["no frame", of(), "no frame"],
  ["too few bytes", Buffer.from("GIF89a"), "no frame"],
  ["no frame before what is no block", of([0], PLAIN), "no frame"],
  ["a frame that is cut off", cut(twice, twice.length - 4), "frame 2 of it is cut off"],
  ["a frame of which next to nothing is there", cut(twice, twice.length - PLAIN.length + 3), "cut off"],
  ["a frame that ends early", of(PLAIN, short), "frame 2 of it lacks pixels"],
  ["a frame that ends and does not say so", of(told(ALL, 4, ...zeros(200))), "lacks pixels"],
  ["a frame that goes on after its end", of(told(ALL, 4, 0, 5, ...zeros(300))), "lacks pixels"],
  ["a code that is not known yet", of(told(ALL, 4, 0, 7, ...zeros(300))), "lacks pixels"],
  ["a code of what is before it, and nothing is", of(told(ALL, 4, 6, ...zeros(300))), "lacks pixels"],
])("takes a gif of %s for corrupt", async (_what, bytes, message) => {
  await expect(asBrowsersRead(bytes)).rejects.toThrow(
    expect.objectContaining({ code: "CORRUPT", message: expect.stringContaining(message) }),
  );
});

test("refuses a gif of more frames or other blocks than it counts", async () => {
  const many = (count: number, block: Buffer): Buffer => of(Buffer.alloc(count * block.length, block));
  const tiny = frame([0, 0, 1, 1], 0);
  const comment = Buffer.from([0x21, 0xfe, 0]);
  for (const bytes of [many(50_001, tiny), many(200_001, comment)])
    await expect(asBrowsersRead(bytes)).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
});

test.each([
  ["as many codes as a table has, and more", told([0, 0, 60, 70], 4, ...zeros(60 * 70), 5)],
  // 10 stands for two pixels of 0
  ["codes that begin anew", told(ALL, 4, ...zeros(20), 4, ...zeros(6), ...Array(115).fill(10), 5)],
])("reads a gif of %s", async (_what, pixels) => {
  await expect(asBrowsersRead(gif(60, 70, COLOURS, pixels))).resolves.toBeDefined();
});

const once = await asBrowsersRead(of(PLAIN));
const STAYS = [0x21, 0xf9, 4, 4, 0, 0, 0, 0];

test("reads a control as that of the frame behind it alone, and the fourth disposal as the third", async () => {
  const read = (...blocks: (Uint8Array | number[])[]): Promise<Buffer> => asBrowsersRead(of(...blocks));
  expect(await read(control(2, 0), PLAIN, PLAIN)).toEqual(await read(control(2, 0), PLAIN, STAYS, PLAIN));
  expect(await read(control(4), PLAIN)).toEqual(await read(control(3), PLAIN));
});

test.each([
  ["comments", of([0x21, 0xfe, 1, 2, 0], PLAIN)],
  ["an empty extension, after which the decoder would skip the frame", of([0x21, 0xff, 0], PLAIN)],
  ["no end", cut(of(PLAIN), of(PLAIN).length - 1)],
  ["an end, and more", of(PLAIN, [0x3b], PLAIN)],
  ["what is no block after its frames", of(PLAIN, [0], PLAIN)],
  ["an extension that is cut off after its frames", of(PLAIN, [0x21, 0xf9, 4, 0])],
  ["a screen that is smaller than its first frame", gif(8, 0, COLOURS, PLAIN)],
  ["a first control that the second takes back", of(control(1, 0), STAYS, PLAIN)],
])("reads a gif of %s as one without", async (_what, bytes) => {
  await expect(asBrowsersRead(bytes)).resolves.toEqual(once);
});

test("lets others have the thread while it reads a large gif", async () => {
  // codes that begin anew, and tell no pixel
  const clears = Buffer.concat([Buffer.from([255]), Buffer.alloc(255, Buffer.from([0x24, 0x49, 0x92]))]);
  const head = PLAIN.subarray(0, PLAIN.indexOf(2, 10) + 1);
  const long = of(head, Buffer.alloc(5_000 * clears.length, clears), [0]);
  let turns = 0;
  const other = setInterval(() => turns++, 1);
  await expect(asBrowsersRead(long)).rejects.toThrow("lacks pixels");
  clearInterval(other);
  expect(turns).toBeGreaterThan(1);
});
