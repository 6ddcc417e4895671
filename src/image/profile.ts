import { createHash } from "node:crypto";
import sharp, { type Metadata } from "sharp";
import { checkProfile } from "./icc.ts";

/**
 * Whether a photo's colour profile, or the lack of one for its ink, makes quite another picture of it, or hides something of it. The decoder here applies every
 * profile that it can read, browsers none in which they see a fault, and each sees others: of such a photo nobody knows which
 * picture is shown.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT (see `checkProfile`).
 */
export async function profileChangesColours({ icc, channels, space }: Metadata): Promise<boolean> {
  // without a profile browsers mix ink in a way of their own
  if (!icc) return space === "cmyk";
  const read = channels < 3 && !isOfColours(icc) ? 1 : 3;
  const id = `${space === "cmyk" ? "ink" : read} ${createHash("sha256").update(icc).digest("base64")}`;
  const answer = answers.get(id) ?? ask(icc, space === "cmyk", read);
  // or what went wrong once would fail every photo of the profile
  answer.catch(() => answers.delete(id));
  answers.delete(id);
  answers.set(id, answer);
  if (answers.size > MOST_ANSWERS) answers.delete(answers.keys().next().value!);
  return answer;
}

/** Whether a profile is one of red, green and blue. Browsers apply such to a grey photo too, and the decoder here does not. */
export function isOfColours(icc: Buffer): boolean {
  return icc.toString("latin1", 16, 20) === "RGB ";
}

async function ask(icc: Buffer, ink: boolean, channels: 1 | 3): Promise<boolean> {
  const { tabled } = checkProfile(icc);
  // colours of ink are quite others with a profile than without one
  return ink || tabled || icc.length > MOST_BYTES || (await compare(icc, channels));
}

/**
 * Draws what profiles are compared by, once a process. Where no other thread can be begun the first JPEG that is written ends the process
 * by SIGSEGV, so that it is drawn before photos come.
 */
export async function drawColours(): Promise<void> {
  await Promise.all([coloursOf(1), coloursOf(3)]);
}

/** Every grey, then some colours of everywhere, every level of each channel among them, as a JPEG. */
function coloursOf(channels: 1 | 3): Promise<Buffer> {
  const before = drawn.get(channels);
  if (before) return before;
  const colours = Uint8Array.from({ length: SIDE * SIDE * channels }, (_, at) => {
    const point = Math.floor(at / channels);
    return point < GREYS ? point : 256 * ((point * STEPS[at % channels]!) % 1);
  });
  const jpeg = sharp(colours, { raw: { width: SIDE, height: SIDE, channels } })
    .toColourspace(channels === 1 ? "b-w" : "srgb")
    .jpeg({ quality: 100, chromaSubsampling: "4:4:4" })
    .toBuffer();
  jpeg.catch(() => drawn.delete(channels));
  drawn.set(channels, jpeg);
  return jpeg;
}

/** Reads them with the profile and without it. */
async function compare(icc: Buffer, channels: 1 | 3): Promise<boolean> {
  const jpeg = await coloursOf(channels);
  const bytes = Buffer.concat([jpeg.subarray(0, 2), ...segmentsOf(icc), jpeg.subarray(2)]);
  const read = (ignoreIcc: boolean): Promise<Buffer> =>
    sharp(bytes, { ignoreIcc }).toColourspace("srgb").raw().toBuffer();
  const [applied, ignored] = [await read(false), await read(true)];
  const differs = applied.reduce((sum, value, at) => sum + Math.abs(value - ignored[at]!), 0);
  const each = applied.length / (SIDE * SIDE);
  // half the range of a photo might be made one grey, and all be near to what it was
  const flat = applied
    .subarray(NEAR * each, GREYS * each)
    .some((value, at) => value - applied[at]! < NEAR * FLAT);
  return flat || differs / applied.length > FAR;
}

/** A profile as a JPEG has it. */
function segmentsOf(icc: Buffer): Buffer[] {
  const count = Math.ceil(icc.length / MOST_IN_SEGMENT);
  return Array.from({ length: count }, (_, n) => {
    const part = icc.subarray(n * MOST_IN_SEGMENT, (n + 1) * MOST_IN_SEGMENT);
    const head = Buffer.from("\xff\xe2\0\0ICC_PROFILE\0\0\0", "latin1");
    head.writeUInt16BE(part.length + 16, 2);
    head.set([n + 1, count], 16);
    return Buffer.concat([head, part]);
  });
}

/** Of the profiles seen last: nearly all photos have one of a few, and asking takes as long as a small photo does. */
const answers = new Map<string, Promise<boolean>>();
const drawn = new Map<1 | 3, Promise<Buffer>>();
const MOST_ANSWERS = 64;
const SIDE = 64;
const GREYS = 256;
/** Levels of grey, and what share of their difference has to be left: the curve of a screen in the dark, a power of 2.2, leaves 0.4. */
const NEAR = 16;
const FLAT = 0.25;
/** Powers of what makes points of three dimensions lie evenly (Roberts' R3). */
const STEPS = [0.8191725, 0.6710436, 0.5497005];
const MOST_IN_SEGMENT = 65_519;
const MOST_BYTES = 255 * MOST_IN_SEGMENT;
/** Mean difference, of 255: Display P3 and Adobe RGB have 12, a linear profile 48, and one that makes everything white 114. */
const FAR = 20;
