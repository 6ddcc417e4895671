import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { packageRoot } from "../src/package-root.ts";
import { collectSamples, copyTemplatePhotos } from "./collect.ts";

/** One line of test/gold.jsonl: a label as training/README.md has it, and what the shipped product must say. */
export interface Gold {
  file: string;
  category: string | null;
  human: boolean;
  /** Hands alone, which count as neither human nor not. */
  hands?: boolean;
  small?: boolean;
  /** x0, y0, x1, y1 in pixels of the file. */
  persons?: [number, number, number, number][];
  source: string;
  /** The verdicts that are acceptable; without it, none would be a failure of the product. */
  verdicts?: string[];
  why: string;
}

/**
 * Lays the gold set into a folder: the samples, more photos of the same templates, menu cards as phones see
 * them, and their labels as labels.jsonl. It is then a folder as training/ reads it.
 *
 * @returns the labels, in the order of their files.
 */
export async function collectGold(folder: string): Promise<Gold[]> {
  await collectSamples(folder);
  copyTemplatePhotos(MORE, folder);
  const sideways = await sharp(join(folder, "menu-1.jpg")).rotate(90).jpeg({ quality: 88 }).toBuffer();
  writeFileSync(join(folder, "menu-1-sideways.jpg"), sideways);
  const dim = await sharp(join(folder, "menu-2.jpg")).linear(0.6).blur(1).jpeg({ quality: 70 }).toBuffer();
  writeFileSync(join(folder, "menu-2-dim.jpg"), dim);
  const labels = join(folder, "labels.jsonl");
  copyFileSync(join(packageRoot(), "test/gold.jsonl"), labels);
  return readFileSync(labels, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Gold);
}

const MORE: Record<string, [string, string]> = {
  "landing-showcase-3": ["landing-page", "bg-showcase-3.jpg"],
  "grayscale-demo-1": ["grayscale", "demo-image-01.jpg"],
  "grayscale-demo-2": ["grayscale", "demo-image-02.jpg"],
};
