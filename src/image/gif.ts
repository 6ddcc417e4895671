import { PhotoError } from "../errors.ts";
import { unsupported } from "./boxes.ts";
import { createPause } from "./pauses.ts";

/** Of a GIF that is written anew the decoder counts each frame twice: one that draws nothing, and then its own. */
export const PAGES_A_FRAME = 2;

interface Frame {
  /** Left, top, width and height, as they are in the file. */
  place: Buffer;
  interlaced: boolean;
  control: Control;
  colours: Buffer;
  /** LZW: the size of its codes, and blocks up to the one that is empty. */
  pixels: Buffer;
}

type Pause = ReturnType<typeof createPause>;

interface Control {
  /** What becomes of a frame before the next is drawn. */
  disposal: "stays" | "clears" | "restores";
  /** In hundredths of a second. */
  delay: number;
  /** Number of the colour that is none. */
  clear: number | undefined;
}

/**
 * A GIF written anew, of nothing but what browsers draw, so that the decoder draws the same: what they leave clear it would make
 * black or the colour of the background; of several controls of a frame it would mix one into the other; colours beyond a
 * short table it would take from the table before; and a screen of some sizes it would take to be as small as the first frame.
 *
 * Before each frame stands one that draws nothing, the first as large as the screen. It clears what the frame before it is to
 * leave clear, and tells that the picture may be seen through.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT of what is read in several ways and no encoder writes; TOO_MANY_PIXELS of more than
 * 50,000 frames; or CORRUPT without a frame, or where one lacks pixels.
 */
export async function asBrowsersRead(gif: Uint8Array): Promise<Buffer> {
  const file = Buffer.from(gif.buffer, gif.byteOffset, gif.length);
  const pause = createPause();
  const frames = await framesIn(file, pause);
  if (frames.length === 0) throw new PhotoError("CORRUPT", "no frame in it");
  const screen = screenOf(file, frames);
  const size = frames.reduce((sum, { pixels }) => sum + MADE_FRAME + pixels.length, MADE_REST);
  const made = Buffer.allocUnsafe(size);
  let at = 0;
  const write = (...parts: Buffer[]): void => {
    for (const part of parts) at += part.copy(made, at);
  };
  write(Buffer.from("GIF89a"), screen, Buffer.alloc(3));
  let before: Pick<Frame, "place" | "control"> = {
    place: Buffer.concat([Buffer.alloc(4), screen]),
    control: STAYS,
  };
  for (const { place, interlaced, control, colours, pixels } of frames) {
    const clears = before.control.disposal === "clears";
    const restores = control.disposal === "restores";
    write(controlOf(clears ? 2 : 0, { ...STAYS, clear: 0 }), IMAGE, before.place, NOTHING);
    write(controlOf(restores ? 3 : 0, control), IMAGE, place, interlaced ? INTERLACED : IN_ORDER);
    write(colours, BLACK.subarray(colours.length), pixels);
    before = { place, control };
    await pause();
  }
  write(END);
  return made;
}

/** Up to the end, or to what is no block, where browsers end too. */
async function framesIn(file: Buffer, pause: Pause): Promise<Frame[]> {
  const frames: Frame[] = [];
  /** One for all frames: to make 50,000 of them takes longer than all else. */
  const lengths = new Uint16Array(4096);
  const shared = coloursAt(file, 10, 13);
  let control = STAYS;
  let blocks = 0;
  for (let at = 13 + shared.length; ; ) {
    await pause();
    if (frames.length > MOST_FRAMES || ++blocks > 4 * MOST_FRAMES)
      throw new PhotoError(
        "TOO_MANY_PIXELS",
        `expected a gif of at most ${MOST_FRAMES} frames and ${4 * MOST_FRAMES} blocks`,
      );
    if (file[at] === 0x21) {
      const end = endOf(file, at + 2);
      if (end > file.length) return frames;
      if (file[at + 1] === 0xf9) control = controlAt(file, at, end);
      at = end;
    } else if (file[at] === 0x2c) {
      const own = coloursAt(file, at + 9, at + 10);
      const from = at + 10 + own.length;
      const end = endOf(file, from + 1);
      if (end > file.length) throw new PhotoError("CORRUPT", `frame ${frames.length + 1} of it is cut off`);
      const frame = {
        place: file.subarray(at + 1, at + 9),
        interlaced: (file[at + 9]! & 0x40) !== 0,
        control,
        colours: own.length > 0 ? own : shared,
        pixels: file.subarray(from, end),
      };
      const pixels = checkedPixels(frame);
      frames.push(frame);
      if (!(await tells(frame.pixels, pixels, lengths, pause)))
        throw new PhotoError("CORRUPT", `frame ${frames.length} of it lacks pixels`);
      control = STAYS;
      at = end;
    } else return frames;
  }
}

/** Of a byte of flags, which tells whether and how many there are. */
function coloursAt(file: Buffer, flags: number, from: number): Buffer {
  const bits = file[flags] ?? 0;
  return file.subarray(from, bits & 0x80 ? from + 3 * (2 << (bits & 7)) : from);
}

/** Of blocks, each after its length, up to one that is empty. */
function endOf(file: Buffer, from: number): number {
  let at = from;
  while (file[at]) at += file[at]! + 1;
  return at + 1;
}

function controlAt(file: Buffer, at: number, end: number): Control {
  if (file[at + 2] !== 4 || end !== at + 8)
    throw unsupported("a gif of graphic controls of 4 bytes, got another");
  const flags = file[at + 3]!;
  const disposal = (flags >> 2) & 7;
  return {
    disposal: disposal === 2 ? "clears" : disposal === 3 || disposal === 4 ? "restores" : "stays",
    delay: file.readUInt16LE(at + 4),
    clear: flags & 1 ? file[at + 6]! : undefined,
  };
}

/** How many it has. */
function checkedPixels({ place, colours, pixels }: Frame): number {
  const [width, height] = [place.readUInt16LE(4), place.readUInt16LE(6)];
  if (colours.length === 0)
    throw unsupported("a gif of frames that have colours, got one without a table of them");
  if (width * height === 0)
    throw unsupported(
      "a gif of frames that have pixels, got one without, which browsers show in several ways",
    );
  if (pixels[0]! < 2 || pixels[0]! > 8) throw unsupported(`a gif of pixels of 2 to 8 bits, got ${pixels[0]}`);
  return width * height;
}

/**
 * Whether LZW tells so many pixels. Where it ends before, or goes wrong, some browsers leave out the rest of the frame, and others all
 * frames after it. That takes some 7 ns a code.
 *
 * @param lengths of what each code stands for, in pixels: written over.
 */
async function tells(lzw: Buffer, pixels: number, lengths: Uint16Array, pause: Pause): Promise<boolean> {
  const clear = 1 << lzw[0]!;
  lengths.fill(1, 0, clear);
  let size = lzw[0]! + 1;
  let known = clear + 2;
  let before = 0;
  let told = 0;
  let codes = 0;
  for (let at = 1, end = 1, held = 0, bits = 0; told < pixels; ) {
    if (++codes % 65_536 === 0) await pause();
    while (bits < size) {
      if (at === end) {
        if (lzw[at] === 0) return false;
        end += lzw[at++]! + 1;
      }
      held |= lzw[at++]! << bits;
      bits += 8;
    }
    const code = held & ((1 << size) - 1);
    held >>= size;
    bits -= size;
    if (code === clear) {
      size = lzw[0]! + 1;
      known = clear + 2;
      before = 0;
      continue;
    }
    if (code === clear + 1 || code > known || (code === known && before === 0)) return false;
    if (before > 0 && known < lengths.length) {
      lengths[known++] = before + 1;
      if (known === 1 << size && size < 12) size++;
    }
    before = lengths[code]!;
    told += before;
  }
  return true;
}

/** Width and height, as the file says or as its first frame makes it. */
function screenOf(file: Buffer, frames: readonly Frame[]): Buffer {
  const screen = Buffer.alloc(4);
  for (const side of [0, 2]) {
    const ends = frames.map(({ place }) => place.readUInt16LE(side) + place.readUInt16LE(4 + side));
    const size = Math.min(Math.max(file.readUInt16LE(6 + side), ends[0]!), 0xffff);
    // of rows in several passes the decoder would take those that are seen for all
    if (ends.some((end) => end > size))
      throw unsupported("a gif of frames within it, got one beyond its rim");
    screen.writeUInt16LE(size, side);
  }
  return screen;
}

function controlOf(disposal: number, { delay, clear }: Control): Buffer {
  const flags = (disposal << 2) | (clear === undefined ? 0 : 1);
  return Buffer.from([0x21, 0xf9, 4, flags, delay & 0xff, delay >> 8, clear ?? 0, 0]);
}

const STAYS: Control = { disposal: "stays", delay: 0, clear: undefined };
/** The decoder counts to 100,000 pages. */
const MOST_FRAMES = 50_000;
const IMAGE = Buffer.from([0x2c]);
/** Flags of an image, with a table of 256 colours. */
const IN_ORDER = Buffer.from([0x87]);
const INTERLACED = Buffer.from([0xc7]);
/** Flags, and pixels that end before the first. */
const NOTHING = Buffer.from([0, 2, 0]);
const BLACK = Buffer.alloc(256 * 3);
const END = Buffer.from([0x3b]);
/** Bytes: two controls, images and places, what draws nothing, flags and colours; and a head, a screen, what else is said of it, and the end. */
const MADE_FRAME = 2 * (8 + 1 + 8) + 3 + 1 + 256 * 3;
const MADE_REST = 6 + 4 + 3 + 1;
