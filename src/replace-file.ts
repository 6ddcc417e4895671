import { realpathSync, statSync } from "node:fs";
import { chmod, chown, rename, rm, writeFile } from "node:fs/promises";
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
  let part: string | undefined;
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found && !found.isFile()) return await writeFile(path, contents);
    // a link stays one
    const target = found ? realpathSync(path) : path;
    part = `${target}.${process.pid}.part`;
    await writeFile(part, contents, { flush: true });
    if (found) {
      await chmod(part, found.mode);
      // only root may give it to another
      await chown(part, found.uid, found.gid).catch(() => {});
    }
    await rename(part, target);
  } catch (cause) {
    if (part) await rm(part, { force: true }).catch(() => {});
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
  EBUSY: "it is mounted by itself: mount its folder",
};
