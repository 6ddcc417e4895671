import { randomUUID } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { chmod, chown, link, rename, rm, writeFile } from "node:fs/promises";
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

/**
 * As `replaceFile`, where there is no file yet: of several at once one writes it.
 *
 * @returns false where there is one, which stays as it is.
 * @throws {ConfigError} where it cannot be written.
 */
export async function writeNewFile(path: string, contents: string): Promise<boolean> {
  const part = `${path}.${randomUUID()}.part`;
  try {
    await writeFile(part, contents, { flush: true });
    await link(part, path).catch((error: NodeJS.ErrnoException) => {
      if (!NO_LINKS.includes(error.code ?? "")) throw error;
      // a crash may leave a part of it there
      return writeFile(path, contents, { flag: "wx", flush: true });
    });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new ConfigError(`${path}: expected a file that can be written: ${whyNot(cause)}`, { cause });
  } finally {
    await rm(part, { force: true }).catch(() => {});
  }
}

/** Why nothing can be written somewhere, in words where there are some. */
export function whyNot(thrown: unknown): string {
  const { code = "", message } = thrown as NodeJS.ErrnoException;
  return WHY[code] ?? (code || message);
}

/** Of file systems that have no hard links, such as FAT. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];
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
