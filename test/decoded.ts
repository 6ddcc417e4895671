import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject } from "vitest";
import { decode, restrictSharp } from "../src/image/decode.ts";
import { createHeicDecoder } from "../src/image/heic.ts";
import { packageRoot } from "../src/package-root.ts";

export const limits = { side: 64, maxPixels: 50_000_000 };
export const HEIC_THREAD = new URL(`file://${packageRoot()}/dist/workers/heic.js`);

/** Of each file that imports it, and ended after its tests. */
export const heic = createHeicDecoder(HEIC_THREAD, 1);
afterAll(() => heic.close());

export const framesOf = (bytes: Uint8Array, of = limits) => decode(bytes, of, heic.decode);

/** Of a photo that is one picture. */
export async function pixelsOf(bytes: Uint8Array): Promise<Uint8Array> {
  const frames = await framesOf(bytes);
  expect(frames).toHaveLength(1);
  return frames[0]!;
}

/** A JPEG of a menu, and its pixels. */
export const menu = readFileSync(join(inject("samples"), "menu-1.jpg"));
export let plain: Uint8Array;
beforeAll(async () => {
  plain = await pixelsOf(menu);
  await restrictSharp();
});

/** Mean absolute difference of two pixel buffers, 0..255. */
export function difference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]!), 0) / a.length;
}

/** What this process has computed since then, which others on the machine hardly change. */
export function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}
