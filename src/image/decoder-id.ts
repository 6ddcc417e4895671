import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import sharp from "sharp";

/**
 * Names what turns bytes into pixels here, SHA-256 in hex: of all sources beside this one, so that nobody has to say when
 * a change of them counts, and of the versions of the libraries. Another one may see something else in the same bytes, or refuse them.
 */
export function decoderId(): string {
  const hash = createHash("sha256").update(JSON.stringify(sharp.versions));
  hash.update((createRequire(import.meta.url)("libheif-js/package.json") as { version: string }).version);
  for (const name of readdirSync(HERE).sort()) {
    if (/\.[jt]s$/.test(name)) hash.update(name).update(readFileSync(new URL(name, HERE)));
  }
  return hash.digest("hex");
}

const HERE = new URL(".", import.meta.url);
