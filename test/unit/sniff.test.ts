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
  ["png", "\x89PNG\r\n\x1a\n\0\0\0\x04IHDRacTL\0\0\0\0\0\0\0\x04IDATacTL"],
  ["avif", "\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x10metamoovmoov\0\0\0\0mdat"],
])("knows %s by its first bytes", (format, head) => {
  expect(sniff(bytes(head))).toBe(format);
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
  ["UNSUPPORTED_FORMAT", "an animation", "\x89PNG\r\n\x1a\n\0\0\0\0IHDR\0\0\0\0\0\0\0\0acTL"],
])("refuses as %s, saying %s", (code, message, head) => {
  expect(() => sniff(bytes(head))).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});
