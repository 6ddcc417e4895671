import { unsupported } from "./boxes.ts";
import { checkCicp } from "./cicp.ts";

/**
 * Refuses a colour profile of which browsers could make another picture than the decoder here. That one computes in whole numbers which
 * overflow, and reads most pictures by a table of 33 (of ink 17) colours a channel, between whose colours a profile may hide
 * others; and it reads what browsers do not know of. Profiles of cameras, screens, scanners and presses have none of that.
 *
 * What is damaged is passed over: it is left out by browsers, and `profileChangesColours` sees to what the decoder makes of it.
 *
 * @returns whether it is one of tables of colours, instead of a curve a channel and a matrix.
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function checkProfile(icc: Buffer): { tabled: boolean } {
  const tags = tagsOf(icc);
  if (tags.size > 0 && !CLASSES.has(icc.toString("latin1", 12, 16)))
    throw refused("of class mntr, scnr, prtr or spac, as browsers apply others too");
  if (tags.has("D2B0")) throw refused("without a D2B0, which browsers do not know");
  if (tags.has("A2B1") && !tags.has("A2B0")) throw refused("of an A2B0 where it has an A2B1");
  const cicp = tags.get("cicp");
  // browsers go by it instead of all else, the decoder does not know of it
  if (cicp !== undefined && cicp + 12 <= icc.length)
    checkCicp("colour profile", { primaries: icc[cicp + 8]!, transfer: icc[cicp + 9]! });
  checkMatrix(icc, tags);
  for (const name of ["rTRC", "gTRC", "bTRC", "kTRC"]) {
    const at = tags.get(name);
    const curve = at === undefined ? undefined : curveAt(icc, at);
    if (curve) check(curve, name, STEEPEST);
  }
  const tables = ["A2B0", "A2B1"].filter((name) => tags.has(name));
  for (const name of tables) checkTable(icc, tags.get(name)!, name);
  return { tabled: tables.length > 0 };
}

/** Where each lies. */
function tagsOf(icc: Buffer): Map<string, number> {
  const tags = new Map<string, number>();
  const count = icc.length < 132 ? 0 : icc.readUInt32BE(128);
  for (let n = 0; n < count && 144 + 12 * n <= icc.length; n++) {
    const name = icc.toString("latin1", 132 + 12 * n, 136 + 12 * n);
    if (n === MOST_TAGS || tags.has(name))
      throw refused(`of at most ${MOST_TAGS} tags, each of them once, got ${count} and ${name}`);
    tags.set(name, icc.readUInt32BE(136 + 12 * n));
  }
  return tags;
}

function checkMatrix(icc: Buffer, tags: Map<string, number>): void {
  const sums = [0, 0, 0];
  for (const name of ["rXYZ", "gXYZ", "bXYZ"]) {
    const at = tags.get(name);
    if (at === undefined || at + 20 > icc.length) continue;
    for (const [n, value] of numbers(icc, at + 8, 3).entries()) sums[n]! += Math.abs(value);
  }
  if (sums.some((sum) => sum > BRIGHTEST))
    throw refused(`whose rXYZ, gXYZ and bXYZ come to at most ${BRIGHTEST}, got ${sums.join(" ")}`);
}

/** A table of colours, with a curve a channel before it and after it. */
function checkTable(icc: Buffer, at: number, name: string): void {
  if (at + 52 > icc.length) return;
  const [type, from, to] = [icc.toString("latin1", at, at + 4), icc[at + 8]!, icc[at + 9]!];
  let before: Curve[] = [];
  let after: Curve[] = [];
  let across = 0;
  if (type === "mft1" || type === "mft2") {
    const wide = type === "mft2";
    if (numbers(icc, at + 12, 9).some((value, n) => value !== (n % 4 === 0 ? 1 : 0)))
      throw refused(`whose ${name} has no matrix, which browsers leave out`);
    across = icc[at + 10]!;
    const [entries, last] = wide ? [icc.readUInt16BE(at + 48), icc.readUInt16BE(at + 50)] : [256, 256];
    const [first, bytes] = wide ? [at + 52, 2] : [at + 48, 1];
    const then = first + bytes * (from * entries + to * across ** from);
    before = evenly(icc, first, from, entries, bytes);
    after = evenly(icc, then, to, last, bytes);
  } else if (type === "mAB ") {
    const [b, m, table, a] = [12, 20, 24, 28].map((n) => icc.readUInt32BE(at + n));
    if (table) across = Math.max(0, ...icc.subarray(at + table, at + table + Math.min(from, 16)));
    before = a ? oneByOne(icc, at + a, from) : [];
    after = [b, m].flatMap((curves) => (curves ? oneByOne(icc, at + curves, to) : []));
  }
  const cells = Math.max(1, across - 1);
  if (cells > MOST_CELLS)
    throw refused(`whose ${name} has at most ${MOST_CELLS} cells a channel, got ${cells}`);
  for (const curve of before) check(curve, name, MOST_CELLS / cells);
  for (const curve of after) check(curve, name, STEEPEST_AFTER);
}

/** Values at even distances over all of what it is of, 0 to 1. */
type Curve = readonly number[];

function evenly(icc: Buffer, at: number, curves: number, entries: number, bytes: number): Curve[] {
  // or to walk over those of 16 MB would take seconds
  if (curves > MOST_CHANNELS || entries > MOST_ENTRIES)
    throw refused(`of at most ${MOST_CHANNELS} channels, and curves of ${MOST_ENTRIES} values`);
  if (at + curves * entries * bytes > icc.length) return [];
  return Array.from({ length: curves }, (_, n) =>
    Array.from({ length: entries }, (_, k) => {
      const from = at + bytes * (n * entries + k);
      return icc.readUIntBE(from, bytes) / (256 ** bytes - 1);
    }),
  );
}

/** Curves that stand one after the other, each from a multiple of four. */
function oneByOne(icc: Buffer, start: number, count: number): Curve[] {
  const curves: Curve[] = [];
  for (let at = start; curves.length < Math.min(count, MOST_CHANNELS); ) {
    const curve = curveAt(icc, at);
    if (!curve) break;
    curves.push(curve);
    const [kind, entries] = [icc.readUInt16BE(at + 8), icc.readUInt32BE(at + 8)];
    at += icc[at] === P ? 12 + 4 * PARAMETERS[kind]! : 12 + 4 * Math.ceil(entries / 2);
  }
  return curves;
}

function curveAt(icc: Buffer, at: number): Curve | undefined {
  if (at + 12 > icc.length) return undefined;
  const type = icc.toString("latin1", at, at + 4);
  const [kind, entries] = [icc.readUInt16BE(at + 8), icc.readUInt32BE(at + 8)];
  if (type === "curv" && entries > 1) return evenly(icc, at + 12, 1, entries, 2)[0];
  if (type === "curv") {
    if (at + 14 > icc.length) return undefined;
    const gamma = entries === 1 ? icc.readUInt16BE(at + 12) / 256 : 1;
    return LEVELS.map((x) => x ** gamma);
  }
  const length = PARAMETERS[kind];
  if (type !== "para" || length === undefined || at + 12 + 4 * length > icc.length) return undefined;
  const [g = 1, a = 1, b = 0, c = 0, d, e = 0, f = 0] = numbers(icc, at + 12, length);
  return LEVELS.map((x) => {
    // in the first kinds the straight part begins where the power ends
    if (kind >= 3 ? x < d! : a * x + b < 0) return kind === 2 ? c : kind >= 3 ? c * x + f : 0;
    return (a * x + b) ** g + (kind === 2 ? c : e);
  });
}

function check(curve: Curve, name: string, steepest: number): void {
  const levels = curve.length - 1;
  // of a fine one, between what two levels of 8 bits make
  const stride = Math.max(1, Math.round(levels / 255));
  let highest = 0;
  for (const [n, value] of curve.entries()) {
    if (!(value > -OUTSIDE && value < 1 + OUTSIDE))
      throw refused(`whose ${name} is within 0 and 1, got ${value}`);
    if (value < highest - FALL) throw refused(`whose ${name} rises, got ${value} after ${highest}`);
    highest = Math.max(highest, value);
    const slope = n < stride ? 0 : ((value - curve[n - stride]!) * levels) / stride;
    if (slope > Math.max(1, steepest) * (1 + OUTSIDE))
      throw refused(
        `whose ${name} rises at most ${steepest.toFixed(1)} times as fast as it goes on, got ${slope}`,
      );
  }
}

/** Of 16 bits before the point and 16 after it. */
function numbers(icc: Buffer, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => icc.readInt32BE(at + 4 * n) / 65_536);
}

function refused(what: string): Error {
  return unsupported(`a colour profile ${what}: save the photo as sRGB`);
}

const P = "p".charCodeAt(0);
/** By kind of formula. */
const PARAMETERS: readonly (number | undefined)[] = [1, 3, 4, 5, 7];
const LEVELS = Array.from({ length: 256 }, (_, n) => n / 255);
/** Of screens, scanners and cameras, presses, and all of them. */
const CLASSES = new Set(["mntr", "scnr", "prtr", "spac"]);
/** As many as the decoder reads. */
const MOST_TAGS = 100;
/** Ink has four. */
const MOST_CHANNELS = 4;
/** As many as the decoder reads. */
const MOST_ENTRIES = 32_767;
/** White is 1; 1.52 may be 8 times as red as the red of sRGB, at which the decoder's numbers overflow. */
const BRIGHTEST = 1.5;
const STEEPEST = 32;
/** The root that linear values of XYZ are stored by comes to 3. */
const STEEPEST_AFTER = 4;
/** A quarter of each and more shows in the 32 by which the decoder reads; of ink, which has 16, less may. */
const MOST_CELLS = 48;
const OUTSIDE = 0.01;
/** In the dark a hundredth would be a tenth of what a screen shows. */
const FALL = 0.001;
