import { PhotoError } from "../errors.ts";
import { readAv1 } from "./av1.ts";
import { animated, boxesIn, boxesOf, type Heif, openHeif, unsupported } from "./boxes.ts";
import { checkCicp } from "./cicp.ts";
import { changesOf, cropsInside, type HeifFormat, picturesOf, type Shown, shownIn } from "./heif.ts";
import { checkUnits } from "./hevc.ts";
import { checkPng } from "./png.ts";

/** The formats that are judged. `heic` is HEVC in a HEIF container; AVIF has a decoder of its own. */
export type Format = "jpeg" | "png" | "webp" | "gif" | "avif" | "heic";

/** Bytes that tell what is no photo. */
export const HEAD_BYTES = 64;

/**
 * Tells a photo's format from its first bytes; its name does not count. Of PNG, AVIF and HEIC only the first picture can
 * be read, so that one that moves is of no format that is judged.
 *
 * @param whole false: they are only the first bytes, of which nothing is said that needs the others.
 * @throws {PhotoError} EMPTY, UNSUPPORTED_FORMAT saying what it looks like, or CORRUPT.
 */
export function sniff(bytes: Uint8Array, whole = true): Format {
  if (bytes.length === 0) throw new PhotoError("EMPTY", "the object has no bytes");
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES)).toString(
    "latin1",
  );
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) {
    checkPng(bytes, whole);
    return "png";
  }
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return "gif";
  if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) return "webp";
  if (head.startsWith("ftyp", 4)) {
    const brands = head.slice(8, Math.min(Buffer.from(head, "latin1").readUInt32BE(0), HEAD_BYTES));
    if (/avi[fs]/.test(brands)) return still("avif", bytes, whole);
    if (/hei[cxms]|hev[cxms]|mif1|msf1/.test(brands)) return still("heic", bytes, whole);
  }
  throw new PhotoError(
    "UNSUPPORTED_FORMAT",
    `expected jpeg, png, webp, gif, avif or heic, got ${looksLike(head)}`,
  );
}

/** Of HEIF: no sequence, which is a moov among its outermost boxes; and in its meta no colours that are not applied. */
function still(format: HeifFormat, bytes: Uint8Array, whole: boolean): Format {
  const heif = openHeif(bytes);
  let metas = 0;
  for (const box of boxesOf(heif, { from: 0, to: bytes.length })) {
    if (box.type === "moov") throw animated(format);
    if (box.type !== "meta") continue;
    // it is walked over twice, and the pixels of a photo stand elsewhere but for those of tiny ones
    if (box.to - box.from > MOST_META)
      throw unsupported(`a photo whose meta is of at most ${MOST_META} bytes`);
    const meta = heif.file.subarray(box.from, box.to);
    for (let at = meta.indexOf(NCLX); at >= 0 && at + 12 <= meta.length; at = meta.indexOf(NCLX, at + 1)) {
      heif.spend(1);
      checkCicp(format, { primaries: meta.readUInt16BE(at + 8), transfer: meta.readUInt16BE(at + 10) });
    }
    if (format === "avif" && meta.includes(NCLC))
      throw unsupported("an avif of the colours of HEIF, got those of QuickTime, which browsers ignore");
    if (!whole) continue;
    if (++metas > 1) throw unsupported("a photo of one meta, got several");
    const shown = shownIn(heif, boxesIn(heif, box), format);
    if (format === "avif") checkPictures(heif, shown);
    else for (const picture of picturesOf(heif, shown, format)) checkUnits(picture, heif.spend);
  }
  return format;
}

/** What the decoder of AVIF shows in another way than browsers do. */
function checkPictures(avif: Heif, shown: readonly Shown[]): void {
  checkChanges(avif, shown);
  for (const picture of picturesOf(avif, shown, "avif")) {
    const { moves, colours } = readAv1(picture, avif.spend);
    if (moves)
      throw unsupported(
        "a still avif, got several frames in a picture, of which browsers show another than could be judged",
      );
    for (const cicp of colours) checkCicp("avif", cicp);
  }
}

/**
 * Browsers crop, turn and then mirror a picture, in whatever order it says so, its alpha with it and its tiles never, where the
 * decoder goes by the order, and by what is said of each.
 */
function checkChanges(avif: Heif, shown: readonly Shown[]): void {
  const primary = shown.find(({ as }) => as === "primary");
  if (!primary) return;
  if (cropsInside(avif, primary.item))
    throw unsupported(
      "an avif that is cropped from its upper left corner, if at all, got one of which browsers may show all: crop its pixels",
    );
  const changes = changesOf(avif, primary.item);
  const inOrder = /^(clap)?(irot)?(imir)?$/.test(changes.map((change) => change.slice(0, 4)).join(""));
  const alike = shown.every(({ item, as }) =>
    as === "primary" || as === "alpha"
      ? String(changesOf(avif, item)) === String(changes)
      : changesOf(avif, item).length === 0,
  );
  if (!inOrder || !alike)
    throw unsupported(
      "an avif that is cropped, turned and mirrored once each, in this order, as a whole and with its alpha, got one that browsers may show in another way: turn its pixels",
    );
}

function looksLike(head: string): string {
  const text = head
    .replace(/^\xef\xbb\xbf/, "")
    .trimStart()
    .toLowerCase();
  if (text.startsWith("%pdf")) return "a PDF";
  if (text.startsWith("<svg") || (text.startsWith("<?xml") && text.includes("svg"))) return "SVG";
  if (text.startsWith("<!doctype html") || text.startsWith("<html")) return "HTML";
  if (text.startsWith("<")) return "markup";
  if (head.startsWith("ftyp", 4)) return head.startsWith("crx", 8) ? "camera raw" : "a video";
  if (head.startsWith("\x1a\x45\xdf\xa3") || (head.startsWith("RIFF") && head.startsWith("AVI", 8)))
    return "a video";
  if (/^(II\*\0|MM\0\*|IIRO|FUJIFILM|IIU\0)/.test(head)) return "TIFF or camera raw";
  if (head.startsWith("BM")) return "BMP";
  if (head.startsWith("\xff\x0a") || head.startsWith("JXL", 4)) return "JPEG XL";
  if (head.startsWith("PK\x03\x04")) return "a zip archive";
  if (head.startsWith("\x1f\x8b")) return "gzip: is the object stored with Content-Encoding?";
  if (head.startsWith("jP  ", 4)) return "JPEG 2000";
  if (head.startsWith("8BPS")) return "PSD";
  if (head.startsWith("\0\0\x01\0")) return "ICO";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells binary from text
  return /[\x00-\x08\x0e-\x1a]/.test(head) ? "unknown bytes" : "text";
}

const MOST_META = 16_000_000;
const NCLX = "colrnclx";
const NCLC = "colrnclc";
