import { type FileHandle, open, opendir, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { PhotoError } from "../errors.ts";
import type { PhotoRef } from "../photo.ts";
import { type FetchLimits, type FetchPhoto, tooLarge, unavailable } from "./fetch.ts";

/**
 * Reads photos from folders: the bucket is an absolute folder, the key a path below it with forward slashes.
 * A non-empty version is the one that `versionOf` gave and must still be the file's.
 *
 * @param allowed absolute folders; whatever lies elsewhere, also through links, is ACCESS_DENIED.
 */
export function createFolderFetch(allowed: readonly string[]): FetchPhoto {
  return async (photo, limits) => {
    let file: FileHandle | undefined;
    try {
      const path = await realpath(join(photo.bucket, ...photo.key.split("/")));
      const roots = await Promise.all(allowed.map((folder) => realpath(folder).catch(() => resolve(folder))));
      if (!roots.some((root) => isInside(root, path))) {
        throw new PhotoError("ACCESS_DENIED", `${path} is outside of the folders that MAITRED_FOLDERS allows`);
      }
      file = await open(path);
      return { bytes: await read(file, photo, limits), known: {} };
    } catch (thrown) {
      throw named(photo, thrown);
    } finally {
      await file?.close();
    }
  };
}

/** Every regular file below a folder as a photo, in pages of at most 1,000. Hidden files and folders are left out. */
export async function* listFolder(folder: string): AsyncGenerator<PhotoRef[]> {
  let page: PhotoRef[] = [];
  for await (const path of walk(folder)) {
    page.push(await folderPhoto(folder, path));
    if (page.length < 1_000) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** Paths of all regular files below a folder, links followed to files but not to folders. */
export async function* walk(folder: string): AsyncGenerator<string> {
  const entries = [];
  for await (const entry of await opendir(folder)) entries.push(entry);
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)))) yield path;
  }
}

/** The photo that a file is now. */
export async function folderPhoto(folder: string, path: string): Promise<PhotoRef> {
  const { mtimeMs, size } = await stat(path);
  const key = relative(folder, path).split(sep).join("/");
  return { store: "folder", bucket: folder, key, version: versionOf(mtimeMs, size) };
}

function versionOf(mtimeMs: number, size: number): string {
  return `${Math.round(mtimeMs)}-${size}`;
}

async function read(file: FileHandle, photo: PhotoRef, { maxBytes }: FetchLimits): Promise<Uint8Array> {
  const { mtimeMs, size } = await file.stat();
  if (photo.version !== "" && photo.version !== versionOf(mtimeMs, size)) {
    throw new PhotoError("GONE", `${photo.key}: it was replaced`);
  }
  if (size > maxBytes) throw tooLarge(size, maxBytes);
  return file.readFile();
}

function isInside(root: string, path: string): boolean {
  const below = relative(root, path);
  return below !== "" && !below.startsWith("..") && !isAbsolute(below);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function named(photo: PhotoRef, thrown: unknown): unknown {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (thrown instanceof PhotoError) return thrown;
  const options = { cause: thrown };
  if (code === "ENOENT" || code === "ENOTDIR") return new PhotoError("GONE", `${photo.key}: no such file`, options);
  if (code === "EACCES" || code === "EPERM") return new PhotoError("ACCESS_DENIED", `${photo.key}: ${code}`, options);
  if (code === "EISDIR") return new PhotoError("UNSUPPORTED_FORMAT", `${photo.key}: a folder`, options);
  return unavailable(photo, message, thrown);
}
