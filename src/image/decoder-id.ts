import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import sharp from "sharp";

/**
 * Names what turns bytes into pixels here, SHA-256 in hex: of all sources beside this one and the thread of HEIC, so that nobody
 * has to say when a change of them counts, and of the versions of the libraries. Another one may see something else in the same bytes, or refuse them.
 */
export function decoderId(): string {
  const hash = createHash("sha256").update(JSON.stringify(sharp.versions));
  hash.update((createRequire(import.meta.url)("libheif-js/package.json") as { version: string }).version);
  const beside = readdirSync(HERE).filter((name) => name.endsWith(EXTENSION));
  for (const name of [...beside.sort(), `../../workers/heic${EXTENSION}`])
    hash.update(name).update(readFileSync(new URL(name, HERE)));
  return hash.digest("hex");
}

const HERE = new URL(".", import.meta.url);
/** Of sources, or of what is compiled. */
const EXTENSION = import.meta.url.slice(-3);
