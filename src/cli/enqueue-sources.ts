import { statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { folderPhoto, listFolder } from "../image/folder.ts";
import { listObjects } from "../image/s3-bucket.ts";
import { linesOf } from "../lines.ts";
import type { PhotoRef } from "../photo.ts";
import { bucketUrl, isPrefix } from "./bucket-url.ts";
import { type Terminal, UsageError } from "./command.ts";

/** @throws {UsageError} for a file or folder that is not there, or what is no address. */
export function requireThere(what: readonly string[]): void {
  for (const source of what) {
    if (source !== "-" && !urlOf(source) && kindOf(source) === "nothing")
      throw new UsageError(`${source}: ${NOT_THERE}`);
  }
}

/**
 * The photos behind each argument, in pages; single ones are gathered, so that a long list is not a call each. They come before
 * whatever is looked for after them, as each page is taken for as old as the one before it was taken in.
 *
 * @param leftOut told what is not there, or cannot be read.
 */
export async function* pagesOf(
  what: readonly string[],
  stdin: Terminal["stdin"],
  s3: S3Client,
  leftOut: (what: string) => void,
): AsyncGenerator<PhotoRef[]> {
  let single: PhotoRef[] = [];
  for await (const source of sources(what, stdin, leftOut)) {
    const url = urlOf(source);
    const kind = url ? undefined : kindOf(source);
    // a list may name what was deleted since it was made
    if (kind === "nothing") {
      leftOut(`${source}: ${NOT_THERE}`);
      continue;
    }
    const many = url ? isPrefix(url.key) : kind === "folder";
    if (!many) {
      const photo = await (url ? s3Photo(s3, url.bucket, url.key) : filePhoto(resolve(source)));
      if (photo) single.push(photo);
      else leftOut(`${source}: there is no such object`);
    }
    if (single.length >= (many ? 1 : 500)) {
      yield single;
      single = [];
    }
    if (many) yield* url ? listObjects(s3, url.bucket, url.key) : listFolder(resolve(source), leftOut);
  }
  if (single.length > 0) yield single;
}

async function* sources(
  what: readonly string[],
  stdin: Terminal["stdin"],
  leftOut: (what: string) => void,
): AsyncGenerator<string> {
  for (const source of what) {
    if (source !== "-") {
      yield source;
      continue;
    }
    for await (const [, line, isText] of linesOf(Readable.from(stdin, { objectMode: false }), "-")) {
      if (isText) yield line.trim();
      else leftOut(`${line.trim()}: it is not UTF-8`);
    }
  }
}

function urlOf(source: string): ReturnType<typeof bucketUrl> {
  const url = bucketUrl(source);
  if (!url && /^\w+:\/\//.test(source)) throw new UsageError(`expected s3:// or a path, got ${source}`);
  return url;
}

/** The object as it is now. */
async function s3Photo(s3: S3Client, bucket: string, key: string): Promise<PhotoRef | undefined> {
  // of all keys that begin with it, it comes first
  const { value: page } = await listObjects(s3, bucket, key).next();
  return page?.find((photo: PhotoRef) => photo.key === key);
}

async function filePhoto(path: string): Promise<PhotoRef> {
  return folderPhoto(dirname(path), path).catch(() => ({
    store: "folder",
    bucket: dirname(path),
    key: basename(path),
    version: "",
  }));
}

function kindOf(path: string): "folder" | "file" | "nothing" {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) return "nothing";
    return found.isDirectory() ? "folder" : "file";
  } catch (thrown) {
    // workers may be allowed to look at what this command may not
    return (thrown as NodeJS.ErrnoException).code === "ENOTDIR" ? "nothing" : "file";
  }
}

const NOT_THERE = "there is no such file or folder";
