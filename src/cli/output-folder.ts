import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "./command.ts";

/**
 * Makes the folder that a command will write to, with those above it, unless it is there.
 *
 * @param name of the argument that names it.
 * @throws {UsageError} where there can be none, or nothing can be written to it.
 */
export function makeOutputFolder(name: string, path: string): void {
  try {
    make(path);
    accessSync(path, constants.W_OK);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new UsageError(
      `${name}: expected a folder that can be written to, got ${JSON.stringify(path)}: ${WHY[code] ?? code}`,
      { cause },
    );
  }
}

/** Node's `recursive` tries for ever where ENOENT is said of what lies in a folder that is there, as /proc does. */
function make(path: string): void {
  if (!existsSync(dirname(path))) make(dirname(path));
  try {
    mkdirSync(path);
  } catch (cause) {
    // another process may have made it meanwhile
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw cause;
  }
}

const WHY: Readonly<Record<string, string>> = {
  EEXIST: "it is a file",
  ENOTDIR: "a part of it is a file",
  EACCES: "this account may not",
  EPERM: "this account may not",
  EROFS: "its disk is read-only",
  ENOENT: "no folder can be made there",
  ENOSPC: "its disk is full",
};
