/** Part of processes: opening the manifests of backfills, where the feeder or a command finds them. */
import type { ReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { OpenFile } from "../backfill/inventory.ts";
import { ConfigError, whyUnread } from "../errors.ts";
import { openObject } from "../image/s3.ts";

/** @returns what opens `s3://bucket/key` or a path; it throws a ConfigError for a path that cannot be read. */
export function manifestsOf(s3: Parameters<typeof openObject>[0]): OpenFile {
  return async (at) => {
    const url = /^s3:\/\/([^/]+)\/(.+)$/s.exec(at);
    return url ? openObject(s3, url[1]!, url[2]!) : openFile(at);
  };
}

async function openFile(path: string): Promise<ReadStream> {
  try {
    const file = await open(path);
    if (!(await file.stat()).isDirectory()) return file.createReadStream();
    await file.close();
  } catch (cause) {
    throw new ConfigError(`${path}: ${whyUnread(cause)}; the feeder must be able to read it`, { cause });
  }
  throw new ConfigError(`${path}: expected a file, got a folder: name a list in it`);
}
