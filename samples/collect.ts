import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { renderMenus } from "./menus.ts";

/**
 * Lays the sample photos into a folder: those that the MIT-licensed templates among the development dependencies
 * bring, and menu cards of our own drawing.
 *
 * @returns the paths, in the order of their names.
 */
export async function collectSamples(folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  copyTemplatePhotos(PHOTOS, folder);
  for (const [name, bytes] of await renderMenus()) writeFileSync(join(folder, name), bytes);
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name));
}

/** Copies photos of the templates to `folder`. `photos`: our name, without its `.jpg` → template and file. */
export function copyTemplatePhotos(photos: Record<string, [string, string]>, folder: string): void {
  for (const [name, [template, file]] of Object.entries(photos)) {
    const root = dirname(createRequire(import.meta.url).resolve(`startbootstrap-${template}/package.json`));
    copyFileSync(join(root, "dist/assets/img", file), join(folder, `${name}.jpg`));
  }
}

const PHOTOS: Record<string, [string, string]> = {
  "business-about": ["business-casual", "about.jpg"],
  "business-background": ["business-casual", "bg.jpg"],
  "business-intro": ["business-casual", "intro.jpg"],
  "business-product-1": ["business-casual", "products-01.jpg"],
  "business-product-2": ["business-casual", "products-02.jpg"],
  "business-product-3": ["business-casual", "products-03.jpg"],
  "landing-portrait-1": ["landing-page", "testimonials-1.jpg"],
  "landing-portrait-2": ["landing-page", "testimonials-2.jpg"],
  "landing-portrait-3": ["landing-page", "testimonials-3.jpg"],
  "landing-masthead": ["landing-page", "bg-masthead.jpg"],
  "landing-showcase-1": ["landing-page", "bg-showcase-1.jpg"],
  "landing-showcase-2": ["landing-page", "bg-showcase-2.jpg"],
  "stylish-callout": ["stylish-portfolio", "bg-callout.jpg"],
  "stylish-masthead": ["stylish-portfolio", "bg-masthead.jpg"],
  "stylish-portfolio-1": ["stylish-portfolio", "portfolio-1.jpg"],
  "stylish-portfolio-2": ["stylish-portfolio", "portfolio-2.jpg"],
  "stylish-portfolio-3": ["stylish-portfolio", "portfolio-3.jpg"],
  "stylish-portfolio-4": ["stylish-portfolio", "portfolio-4.jpg"],
  "grayscale-masthead": ["grayscale", "bg-masthead.jpg"],
  "grayscale-signup": ["grayscale", "bg-signup.jpg"],
};
