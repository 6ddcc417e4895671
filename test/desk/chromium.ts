import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

/**
 * Debian's Chromium: where CHROMIUM says, or on the PATH. "" where there is none, which in CI is an error. Of the two that
 * Debian has, the shell without windows of its own, which nobody sees here, takes two thirds of the time of a core.
 */
export const CHROMIUM = findChromium();

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

function findChromium(): string {
  const given = process.env["CHROMIUM"];
  if (given) return given;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const found = ["chromium-headless-shell", "chromium"]
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((file) => existsSync(file));
  if (found) return found;
  if (process.env["CI"]) throw new Error("expected chromium on the PATH: in CI no test of it may be skipped");
  console.warn("the desk is not tested: expected chromium on the PATH, or CHROMIUM to name it");
  return "";
}

/** It asks nobody for anything, and needs neither a screen nor a user of its own. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
