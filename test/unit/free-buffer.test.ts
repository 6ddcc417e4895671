import sharp from "sharp";
import { expect, test } from "vitest";
import { freeBuffer } from "../../src/moderate/free-buffer.ts";

test("frees the memory at once", () => {
  const bytes = new Uint8Array(50_000_000);
  const before = process.memoryUsage().arrayBuffers;
  freeBuffer(bytes);
  expect(bytes).toHaveLength(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(-40_000_000);
  // again is no error
  freeBuffer(bytes);
});

test("leaves what others may read: the rest of a larger buffer, what is shared by threads, and memory of sharp", async () => {
  const part = Buffer.from("a part of what Node.js hands out in slices");
  const rest = new Uint8Array(part.buffer);
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  const pixels = await sharp({ create: { width: 2, height: 2, channels: 3, background: "red" } })
    .raw()
    .toBuffer();
  for (const each of [part, shared, pixels]) freeBuffer(each);
  expect([part.toString("latin1", 0, 6), rest.length > part.length, shared.length, pixels.length]).toEqual([
    "a part",
    true,
    8,
    12,
  ]);
});
