import { accessSync, constants, existsSync, mkdirSync, realpathSync, rmdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { whyNot } from "../replace-file.ts";
import { UsageError } from "./command.ts";

/**
 * Makes the folder that a command will write to, with those above it, unless it is there.
 *
 * @param name of the argument that names it.
 * @returns what was made, from the outermost on.
 * @throws {UsageError} where there can be none, or nothing can be written to it.
 */
export function makeOutputFolder(name: string, path: string): string[] {
  try {
    const made = make(path);
    accessSync(path, constants.W_OK);
    return made;
  } catch (cause) {
    throw new UsageError(
      `${name}: expected a folder that can be written to, got ${JSON.stringify(path)}: ${whyNot(cause)}`,
      { cause },
    );
  }
}

/**
 * As `makeOutputFolder`, and takes away again what it made: before work that may come to nothing.
 *
 * @returns the folder's real path.
 */
export function tryOutputFolder(name: string, path: string): string {
  const made = makeOutputFolder(name, path);
  const real = realpathSync(path);
  try {
    for (const each of made.reverse()) rmdirSync(each);
  } catch {
    // by now another process has something in it
  }
  return real;
}

/** Node's `recursive` tries for ever where ENOENT is said of what lies in a folder that is there, as /proc does. */
function make(path: string): string[] {
  const made = existsSync(dirname(path)) ? [] : make(dirname(path));
  try {
    mkdirSync(path);
    return [...made, path];
  } catch (cause) {
    // another process may have made it meanwhile
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw cause;
    return made;
  }
}
