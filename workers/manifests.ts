/** Part of processes: opening the manifests of backfills, where the feeder or a command finds them. */
import { createReadStream, type ReadStream } from "node:fs";
import type { OpenFile } from "../src/backfill/inventory.ts";
import { ConfigError } from "../src/errors.ts";
import { openObject } from "../src/image/s3.ts";

/** @returns what opens `s3://bucket/key` or a path; it throws a ConfigError CONFIG_INVALID for a path that cannot be read. */
export function manifestsOf(s3: Parameters<typeof openObject>[0]): OpenFile {
  return async (at) => {
    const url = /^s3:\/\/([^/]+)\/(.+)$/s.exec(at);
    return url ? openObject(s3, url[1]!, url[2]!) : openFile(at);
  };
}

async function openFile(path: string): Promise<ReadStream> {
  const file = createReadStream(path);
  await new Promise<void>((resolve, reject) => {
    file.once("open", () => resolve());
    file.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new ConfigError(
          "CONFIG_INVALID",
          `${path}: ${WHY[cause.code ?? ""] ?? cause.message}; the feeder must be able to read it`,
          {
            cause,
          },
        ),
      ),
    );
  });
  return file;
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "this account may not read it",
};
