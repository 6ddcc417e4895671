import { describe, expect, test } from "vitest";
import { isMadeForBrightScreens } from "../../src/image/gain-map.ts";

const XMP = "http://ns.adobe.com/xap/1.0/\0";
const ISO = "urn:iso:std:iso:ts:21496:-1\0";
const MPF = "MPF\0MM\0*";

function segment(marker: number, body: string | Buffer): Buffer {
  const bytes = Buffer.from(body as string, "latin1");
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(bytes.length + 2, 2);
  return Buffer.concat([head, bytes]);
}
function jpeg(...segments: Buffer[]): Buffer {
  const scan = Buffer.concat([segment(0xda, "\x01\x01\0\0\x3f\0"), Buffer.from([1, 2, 3])]);
  return Buffer.concat([Buffer.from([0xff, 0xd8]), ...segments, scan, Buffer.from([0xff, 0xd9])]);
}
const app1 = (text: string) => segment(0xe1, XMP + text);
const app2 = (body: string | Buffer) => segment(0xe2, body);

function iso(flags: number, ...numbers: number[]): Buffer {
  const said = Buffer.alloc(5 + 4 * numbers.length + 40);
  said[4] = flags;
  for (const [n, number] of numbers.entries()) said.writeUInt32BE(number, 5 + 4 * n);
  return Buffer.concat([Buffer.from(ISO, "latin1"), said]);
}

describe("a JPEG whose gain map is told of by XMP", () => {
  const photo = jpeg(app2(MPF));
  const withMap = (text: string) => isMadeForBrightScreens(Buffer.concat([photo, jpeg(app1(text))]));

  test("is for bright screens where it says so, or says it in a way that is not read here", async () => {
    expect(await withMap('<rdf:Description hdrgm:BaseRenditionIsHDR="True"/>')).toBe(true);
    expect(await withMap("<rdf:Description g:BaseRenditionIsHDR = 'True'/>")).toBe(true);
    expect(await withMap("<hdrgm:BaseRenditionIsHDR>True</hdrgm:BaseRenditionIsHDR>")).toBe(true);
    expect(await withMap('<rdf:Description hdrgm:BaseRenditionIsHDR="&#84;rue"/>')).toBe(true);
    expect(await withMap(Buffer.from('hdrgm:BaseRenditionIsHDR="True"', "utf16le").toString("latin1"))).toBe(
      true,
    );
    expect(
      await withMap(Buffer.from('hdrgm:BaseRenditionIsHDR="True"', "utf16le").swap16().toString("latin1")),
    ).toBe(true);
  });

  test("is for bright screens where ordinary ones count as such, or where it cannot be read as a whole", async () => {
    expect(await withMap('<rdf:Description hdrgm:HDRCapacityMin="-2" hdrgm:HDRCapacityMax="-1"/>')).toBe(
      true,
    );
    expect(await withMap("<hdrgm:HDRCapacityMin>-0.5</hdrgm:HDRCapacityMin>")).toBe(true);
    expect(await withMap('g:BaseRenditionIsHDR="False"'.repeat(101))).toBe(true);
    const split = jpeg(
      segment(0xe1, "http://ns.adobe.com/xmp/extension/\0g:BaseRendi"),
      segment(0xe1, 'http://ns.adobe.com/xmp/extension/\0tionIsHDR="True"'),
    );
    expect(await isMadeForBrightScreens(Buffer.concat([photo, split]))).toBe(true);
  });

  test("is found wherever it lies, while others have the thread", async () => {
    const map = Buffer.from('BaseRenditionIsHDR="True"');
    for (const at of [262_144 - 60, 262_144 - 5, 262_144])
      expect(await isMadeForBrightScreens(Buffer.concat([photo, Buffer.alloc(at - photo.length), map]))).toBe(
        true,
      );
    let turns = 0;
    const others = setInterval(() => turns++, 1);
    expect(await isMadeForBrightScreens(Buffer.concat([photo, Buffer.alloc(60_000_000)]))).toBe(false);
    clearInterval(others);
    expect(turns).toBeGreaterThan(0);
  });

  test("is an ordinary photo otherwise, as those of phones are", async () => {
    expect(await withMap('<rdf:Description hdrgm:BaseRenditionIsHDR="False" hdrgm:GainMapMax="2"/>')).toBe(
      false,
    );
    expect(await withMap("<hdrgm:BaseRenditionIsHDR>False</hdrgm:BaseRenditionIsHDR>")).toBe(false);
    expect(await withMap('<rdf:Description hdrgm:GainMapMax="2" hdrgm:HDRCapacityMin="0.000000"/>')).toBe(
      false,
    );
    expect(await withMap("<hdrgm:HDRCapacityMin>0</hdrgm:HDRCapacityMin>")).toBe(false);
    const depth = segment(0xe1, `http://ns.adobe.com/xmp/extension/\0<GDepth/>`);
    expect(await isMadeForBrightScreens(Buffer.concat([jpeg(app2(MPF), depth), jpeg(app1("<x/>"))]))).toBe(
      false,
    );
  });

  test("is not looked for behind a photo that leads nowhere", async () => {
    const map = jpeg(app1('hdrgm:BaseRenditionIsHDR="True"'));
    expect(await isMadeForBrightScreens(Buffer.concat([jpeg(segment(0xe1, "Exif\0\0")), map]))).toBe(false);
    for (const lead of [app1("<x/>"), app2(iso(0)), app2(MPF)])
      expect(await isMadeForBrightScreens(Buffer.concat([jpeg(segment(0xe0, "JFIF\0"), lead), map]))).toBe(
        true,
      );
  });
});

test("a JPEG whose gain map is told of by ISO 21496-1 is for bright screens where what is stored is the brighter", async () => {
  const versions = Buffer.concat([Buffer.from(ISO, "latin1"), Buffer.alloc(4)]);
  const withMap = (said: Buffer) =>
    isMadeForBrightScreens(Buffer.concat([jpeg(app2(versions)), jpeg(app2(said))]));
  expect(await withMap(iso(0, 0, 1, 2, 1))).toBe(false);
  expect(await withMap(iso(0, 2, 1, 0, 1))).toBe(true);
  expect(await withMap(iso(0x40, 1, 2, 3, 4))).toBe(false);
  // by one denominator the first is the brighter, by fractions the second: browsers read the latter
  expect(await withMap(iso(8, 100, 200, 2, 1))).toBe(true);
  expect(await withMap(iso(8, 100, 1, 2, 1))).toBe(true);
  expect(await withMap(iso(8, 1, 2, 4, 2))).toBe(false);
  expect(await withMap(iso(0, 0, 0, 5, 0))).toBe(true);
  expect(await withMap(iso(4, 0, 1, 2, 1))).toBe(true);
  expect(await withMap(iso(0, 2, 1, 0, 0))).toBe(true);
});
