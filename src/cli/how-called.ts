import { realpathSync } from "node:fs";
import { delimiter, isAbsolute, join, relative, sep } from "node:path";
import { packageRoot } from "../package-root.ts";
import type { Terminal } from "./terminal.ts";

/**
 * How this program is called by who reads it in another shell, in the folder of this one. It is never `npx maitred`, which
 * outside of a clone asks the registry: whoever takes the name there would be handed the settings.
 */
export function howCalled({ PATH = "" }: Terminal["env"], folder = process.cwd()): string {
  const bin = realpathSync(join(packageRoot(), "bin", "maitred.js"));
  // npm puts folders of packages on the PATH of what it runs, and on no other
  const lasting = PATH.split(delimiter).filter(
    (each) => isAbsolute(each) && !each.split(sep).includes("node_modules"),
  );
  if (lasting.map((each) => pathOf(join(each, "maitred"))).find(Boolean) === bin) return "maitred";
  const near = relative(folder, bin);
  const path = near.startsWith("..") ? bin : near;
  return `node ${/^[\w./-]+$/.test(path) ? path : quoted(path)}`;
}

/** As a shell takes it for one word. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function pathOf(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined;
  }
}
