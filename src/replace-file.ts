import { realpathSync, statSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { ConfigError } from "./errors.ts";

/**
 * Whoever reads meanwhile, or after a crash, sees the old file or the new one, never a part of it. What is no file, as
 * /dev/stdout, is written to.
 *
 * @throws {ConfigError} where it cannot be written, which leaves the old one.
 */
export async function replaceFile(
  path: string,
  contents: string | Uint8Array | Iterable<string>,
): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  const direct = found !== undefined && !found.isFile();
  // a link stays one
  const target = found?.isFile() ? realpathSync(path) : path;
  const part = `${target}.${process.pid}.part`;
  try {
    await writeFile(direct ? target : part, contents);
    if (!direct) await rename(part, target);
  } catch (cause) {
    if (!direct) await rm(part, { force: true }).catch(() => {});
    throw new ConfigError(`${path}: expected a file that can be written: ${whyNot(cause)}`, { cause });
  }
}

/** Why nothing can be written somewhere, in words where there are some. */
export function whyNot(thrown: unknown): string {
  const { code = "", message } = thrown as NodeJS.ErrnoException;
  return WHY[code] ?? (code || message);
}

const WHY: Readonly<Record<string, string>> = {
  EEXIST: "it is a file",
  ENOTDIR: "a part of it is a file",
  EACCES: "this account may not",
  EPERM: "this account may not",
  EROFS: "its disk is read-only",
  ENOENT: "no folder can be made there",
  ENOSPC: "its disk is full",
  EDQUOT: "what this account may use of its disk is used up",
  EFBIG: "it is larger than this process may write (ulimit -f)",
  EIO: "its disk fails",
};
