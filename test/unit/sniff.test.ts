import { expect, test } from "vitest";
import { sniff } from "../../src/image/sniff.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

test.each([
  ["jpeg", "\xff\xd8\xff\xe0\0\x10JFIF"],
  ["png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"],
  ["gif", "GIF89a\x01\0"],
  ["webp", "RIFF\0\0\0\0WEBPVP8 "],
  ["avif", "\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"],
  ["avif", "\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"],
  ["heic", "\0\0\0\x18ftypheic\0\0\0\0mif1heic"],
  ["heic", "\0\0\0\x18ftypmif1\0\0\0\0mif1heic"],
  ["avif", "\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x10metamoovmoov\0\0\0\0mdat"],
])("knows %s by its first bytes", (format, head) => {
  expect(sniff(bytes(head))).toBe(format);
});

/** A PNG of a bit depth and a colour type, up to its first pixels. */
const png = (depth: number, colour: number, ...chunks: string[]): string =>
  `\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01${String.fromCharCode(depth, colour)}\0\0\0crc4${chunks.join("")}`;
const gamma = (times100000: number): string => {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(times100000);
  return `\0\0\0\x04gAMA${data.toString("latin1")}crc4`;
};
const cicp = (transfer: number): string => `\0\0\0\x04cICP\x01${String.fromCharCode(transfer)}\0\x01crc4`;
const nclx = (transfer: number): string =>
  `\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x1bmeta\0\0\0\x13colrnclx\0\x01\0${String.fromCharCode(transfer)}\0\x01\x80`;
const chunk = (type: string): string => `\0\0\0\0${type}crc4`;

test.each([
  ["of the gamma of sRGB", png(8, 2, gamma(45_455), chunk("IDAT"))],
  ["of the gamma of old screens", png(8, 2, gamma(55_556), chunk("IDAT"))],
  ["of 16 bits and colours, with a profile", png(16, 6, chunk("iCCP"), chunk("IDAT"))],
  ["of the transfer of a screen", png(16, 2, cicp(13), chunk("IDAT"))],
  ["of 8 bits and grey, with a profile", png(8, 0, chunk("iCCP"), chunk("IDAT"))],
  ["that says what moves after its first pixels", png(8, 2, chunk("IDAT"), chunk("acTL"))],
  ["that is none", "\x89PNG\r\n\x1a\n\0\0\0\0iCCP"],
])("judges a png %s", (_what, head) => {
  expect(sniff(bytes(head))).toBe("png");
});

test.each([
  ["EMPTY", "no bytes", ""],
  ["UNSUPPORTED_FORMAT", "text", "just words"],
  ["UNSUPPORTED_FORMAT", "HTML", "\n<!DOCTYPE html><html>"],
  ["UNSUPPORTED_FORMAT", "SVG", "<?xml version='1.0'?><svg xmlns='x'/>"],
  ["UNSUPPORTED_FORMAT", "a PDF", "%PDF-1.7"],
  ["UNSUPPORTED_FORMAT", "a video", "\0\0\0\x18ftypisom\0\0\x02\0isomiso2"],
  ["UNSUPPORTED_FORMAT", "a video", "\x1a\x45\xdf\xa3\x01"],
  ["UNSUPPORTED_FORMAT", "camera raw", "\0\0\0\x18ftypcrx \0\0\0\x01crx isom"],
  ["UNSUPPORTED_FORMAT", "TIFF or camera raw", "II*\0\x08\0\0\0"],
  ["UNSUPPORTED_FORMAT", "unknown bytes", "\x01\x02\x03"],
  ["UNSUPPORTED_FORMAT", "text", "\xff\xd8"],
  ["UNSUPPORTED_FORMAT", "a video", "\0\0\0\x01ftyp"],
  ["UNSUPPORTED_FORMAT", "an animation", "\0\0\0\x14ftypavis\0\0\0\0avis\0\0\0\x08meta\0\0\0\x08moov"],
  ["UNSUPPORTED_FORMAT", "an animation", "\0\0\0\x14ftyphevc\0\0\0\0msf1\0\0\0\x08moov"],
  ["UNSUPPORTED_FORMAT", "an animation", png(8, 2, chunk("acTL"))],
  ["UNSUPPORTED_FORMAT", "got 0.03788, which", png(16, 2, gamma(3_788), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "got 0.03788, which", png(16, 2, gamma(3_788), chunk("sRGB"), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "got 1, which", png(8, 2, gamma(45_455), gamma(100_000), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "png of the brightness of sRGB, got transfer 8", png(16, 2, cicp(8), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "avif of the brightness of sRGB, got transfer 8", nclx(8)],
  ["UNSUPPORTED_FORMAT", "at most 10000 chunks", png(8, 2, chunk("tEXt").repeat(10_001))],
  ["UNSUPPORTED_FORMAT", "without a colour profile", png(16, 0, chunk("iCCP"), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "without a colour profile", png(16, 4, chunk("iCCP"), chunk("IDAT"))],
])("refuses as %s, saying %s", (code, message, head) => {
  expect(() => sniff(bytes(head))).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});

test.each([1, 2, 13, 16])("judges an avif of transfer %s, as cameras write", (transfer) => {
  expect(sniff(bytes(nclx(transfer)))).toBe("avif");
});
