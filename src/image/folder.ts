import { constants } from "node:fs";
import { lstat, open, opendir, realpath, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join, relative, resolve, sep } from "node:path";
import { isExhausted, PhotoError, UpstreamError } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { type FetchPhoto, tooLarge, unavailable } from "./fetch.ts";

/**
 * Reads photos from folders: the bucket is an absolute folder, the key a path below it with forward slashes.
 * A non-empty version is the one that `versionOf` gave and must still be the file's.
 *
 * @param allowed absolute folders; whatever lies elsewhere, also through links, is ACCESS_DENIED.
 */
export function createFolderFetch(allowed: readonly string[]): FetchPhoto {
  let roots: string[] | undefined;
  return async (photo, limits) => {
    try {
      const path = await realpath(join(photo.bucket, ...photo.key.split("/")));
      roots ??= await Promise.all(allowed.map((folder) => realpath(folder).catch(() => resolve(folder))));
      const checkInside = (path: string): void => {
        if (!roots!.some((root) => isInside(root, path)))
          throw new PhotoError(
            "ACCESS_DENIED",
            `${path} lies outside of the folders that may be read: name its folder in MAITRED_FOLDERS, or give it to maitred up too`,
          );
      };
      checkInside(path);
      return { bytes: await read(path, photo.version, limits.maxBytes, checkInside), known: {} };
    } catch (thrown) {
      const error = named(photo.key, thrown);
      if (error instanceof PhotoError && error.code === "GONE" && (await isAway(photo.bucket)))
        throw unavailable(photo, "the folder is empty or away: check that it is mounted", thrown);
      throw error;
    }
  };
}

/** The folders that MAITRED_FOLDERS names, as absolute paths. */
export function foldersOf(setting: string): string[] {
  const folders = setting.split(delimiter).filter(Boolean);
  return folders.map((folder) => resolve(folder));
}

/**
 * Reads one file, wherever it lies.
 *
 * @throws as `FetchPhoto` does.
 */
export async function readPhoto(path: string, maxBytes: number): Promise<Uint8Array> {
  return read(path, "", maxBytes).catch((thrown: unknown) => {
    throw named(path, thrown);
  });
}

/**
 * Every file that `walk` gives as a photo, in pages of at most 1,000.
 *
 * @param leftOut is told what cannot be read, and why.
 */
export async function* listFolder(
  folder: string,
  leftOut: (what: string) => void = () => {},
): AsyncGenerator<PhotoRef[]> {
  let page: PhotoRef[] = [];
  for await (const path of walk(folder)) {
    try {
      page.push(await folderPhoto(folder, path));
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      // what Node reads in place of bytes that are none of UTF-8, and then finds nothing by; any other was deleted meanwhile
      const unnamed = path.includes("\ufffd") && `${path}: its name is not UTF-8: rename it`;
      const dangling = (await isLink(path)) && `${path}: a link to nothing`;
      const what = code === "ENOENT" ? unnamed || dangling : message;
      if (what) leftOut(what);
    }
    if (page.length < 1_000) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/**
 * Paths of all regular files below a folder, links followed to files but not to folders; what has a name that begins with a
 * dot is no photo. A folder that cannot be read, and a link that leads nowhere, is given as a path itself, so that reading
 * it says why.
 */
export async function* walk(folder: string): AsyncGenerator<string> {
  const entries = [];
  try {
    for await (const entry of await opendir(folder)) entries.push(entry);
  } catch {
    yield folder;
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await mayBeFile(path)))) yield path;
  }
}

/**
 * Which of these keys name no file below a folder any more.
 *
 * @throws {UpstreamError} STORE_UNAVAILABLE where the folder itself is away or empty, as it is while its disk is not
 *   mounted: nobody can say then.
 */
export async function goneKeys(folder: string, keys: readonly string[]): Promise<string[]> {
  const gone: string[] = [];
  for (const key of keys) {
    const { code } = await stat(join(folder, ...key.split("/"))).then(
      () => ({ code: undefined }),
      (thrown: NodeJS.ErrnoException) => thrown,
    );
    if (code === "ENOENT" || code === "ENOTDIR") gone.push(key);
  }
  if (gone.length > 0 && (await isAway(folder))) {
    const what = `${folder} is empty or away, as it is while its disk is not mounted: no photo of it was withdrawn`;
    const how =
      "mount it and start again; if its photos are really gone, put any file there, such as .keep, and start again";
    throw new UpstreamError("STORE_UNAVAILABLE", `${what}; ${how}`);
  }
  return gone;
}

/** @throws {UpstreamError} where this process cannot open any folder. */
async function isAway(folder: string): Promise<boolean> {
  try {
    for await (const _ of await opendir(folder)) return false;
  } catch (thrown) {
    if (isExhausted(thrown)) throw named(folder, thrown);
    // what cannot be read says nothing either
  }
  return true;
}

/** The photo that a file is now. @throws {PhotoError} ACCESS_DENIED: it is a folder. */
export async function folderPhoto(folder: string, path: string): Promise<PhotoRef> {
  const { mtimeMs, size, isFolder } = await facts(path);
  if (isFolder) throw unreadable(path);
  const key = relative(folder, path).split(sep).join("/");
  return { store: "folder", bucket: folder, key, version: versionOf(mtimeMs, size) };
}

function versionOf(mtimeMs: number, size: number): string {
  return `${Math.round(mtimeMs)}-${size}`;
}

/** @param opened given the path of what was opened, as whoever writes there may have put a link into its place since it was looked at. */
async function read(
  path: string,
  version: string,
  maxBytes: number,
  opened?: (path: string) => void,
): Promise<Uint8Array> {
  const { isFile, isFolder } = await facts(path);
  if (isFolder) throw unreadable(path);
  if (!isFile) throw new PhotoError("UNSUPPORTED_FORMAT", `${path}: expected a regular file`);
  // a pipe that took its place is not waited for
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    opened?.(await realpath(`/proc/self/fd/${file.fd}`).catch(() => realpath(path)));
    const { mtimeMs, size } = await file.stat();
    if (version !== "" && version !== versionOf(mtimeMs, size))
      throw new PhotoError("GONE", `${path}: it was replaced`);
    if (size > maxBytes) throw tooLarge(size, maxBytes);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function unreadable(path: string): PhotoError {
  return new PhotoError("ACCESS_DENIED", `${path}: a folder that cannot be read`);
}

async function facts(
  path: string,
): Promise<{ mtimeMs: number; size: number; isFile: boolean; isFolder: boolean }> {
  const found = await stat(path);
  return { mtimeMs: found.mtimeMs, size: found.size, isFile: found.isFile(), isFolder: found.isDirectory() };
}

async function mayBeFile(path: string): Promise<boolean> {
  return facts(path).then(
    (found) => found.isFile,
    () => true,
  );
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Whether a path lies below a folder; both are absolute. */
export function isInside(root: string, path: string): boolean {
  const below = relative(root, path);
  return below !== "" && !below.startsWith("..") && !isAbsolute(below);
}

function named(name: string, thrown: unknown): unknown {
  if (thrown instanceof PhotoError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const options = { cause: thrown };
  if (code === "ENOENT" || code === "ENOTDIR")
    return new PhotoError("GONE", `${name}: no such file`, options);
  if (code === "EACCES" || code === "EPERM")
    return new PhotoError("ACCESS_DENIED", `${name}: ${code}`, options);
  return new UpstreamError("STORE_UNAVAILABLE", `${name}: ${message}`, options);
}
