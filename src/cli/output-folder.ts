import { accessSync, constants, mkdirSync } from "node:fs";
import { UsageError } from "./command.ts";

/**
 * Makes the folder that a command will write to, with those above it, unless it is there.
 *
 * @param name of the argument that names it.
 * @throws {UsageError} where there can be none, or nothing can be written to it.
 */
export function makeOutputFolder(name: string, path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new UsageError(
      `${name}: expected a folder that can be written to, got ${JSON.stringify(path)}: ${WHY[code] ?? code}`,
      { cause },
    );
  }
}

const WHY: Readonly<Record<string, string>> = {
  EEXIST: "it is a file",
  ENOTDIR: "a part of it is a file",
  EACCES: "this account may not",
  EPERM: "this account may not",
  EROFS: "its disk is read-only",
  ENOENT: "a folder above it cannot be made",
  ENOSPC: "its disk is full",
};
