import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Label } from "./labelled.ts";

/**
 * Leaves out photos of which an earlier one has the same bytes, or is the same file, and says the same kind of thing: counted
 * twice, it would make every figure surer than it is.
 *
 * @returns `copies` tells of those that are left out.
 */
export async function withoutCopies(all: readonly Label[]): Promise<{ labels: Label[]; copies: string[] }> {
  const labels: Label[] = [];
  const copies: string[] = [];
  const said = new Map<string, string>();
  const digests = await digestsOf(all.map(({ path }) => path));
  for (const [index, label] of all.entries()) {
    const { path, category, human } = label;
    const says = [...(category === null ? [] : ["category"]), ...(human === null ? [] : ["human"])];
    const keys = says.map((what) => `${what} ${digests[index]}`);
    const twice = keys.find((key) => said.has(key));
    if (twice !== undefined) copies.push(`${path}: is ${said.get(twice)} already, which counts`);
    else {
      for (const key of keys) said.set(key, path);
      labels.push(label);
    }
  }
  return { labels, copies };
}

/** Of a file that no other has the size of, its path instead: it need not be read. */
async function digestsOf(paths: readonly string[]): Promise<string[]> {
  const sizes = paths.map(sizeOf);
  const ofSize = new Map<number | undefined, number>();
  for (const size of sizes) ofSize.set(size, (ofSize.get(size) ?? 0) + 1);
  const digests: string[] = [];
  for (const [index, path] of paths.entries()) {
    const size = sizes[index];
    digests.push(size === undefined || ofSize.get(size) === 1 ? path : await digestOf(path));
  }
  return digests;
}

function sizeOf(path: string): number | undefined {
  try {
    const stats = statSync(path);
    return stats.isFile() ? stats.size : undefined;
  } catch {
    // whoever judges it says what is wrong with it
    return undefined;
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return path;
  }
  return hash.digest("hex");
}
