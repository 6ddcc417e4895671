import { linkSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { collectSamples } from "../samples/collect.ts";

/**
 * Makes JPEGs, of 1600 x 1200 unless `width` says otherwise, from the sample photos, each with its own tint, as an uploader would send them.
 * Must run before `restrictSharp`.
 *
 * @returns their paths.
 */
export async function makePhotos(folder: string, count: number, width = 1600): Promise<string[]> {
  const samples = await collectSamples(mkdtempSync(join(tmpdir(), "maitred-samples-")));
  const paths: string[] = [];
  for (let n = 0; n < count; n++) {
    const path = join(folder, `${n}.jpg`);
    const tint = { hue: (n * 47) % 360, brightness: 0.8 + (n % 7) / 15 };
    const photo = sharp(readFileSync(samples[n % samples.length]!)).resize(width, (width * 3) / 4, {
      fit: "cover",
    });
    await photo.modulate(tint).jpeg({ quality: 85 }).toFile(path);
    paths.push(path);
  }
  return paths;
}

/** `count` names for these photos, as hard links, so that each is a photo of its own and takes no space. */
export function linkPhotos(paths: readonly string[], folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  for (let n = 0; n < count; n++)
    linkSync(paths[n % paths.length]!, join(folder, `${String(n).padStart(6, "0")}.jpg`));
}
