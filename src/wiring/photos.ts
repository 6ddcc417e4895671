/** Part of processes: the bytes of photos, from wherever they may be read. */
import type { Config } from "../config.ts";
import { createFetch } from "../image/fetch.ts";
import { createFolderFetch, foldersOf } from "../image/folder.ts";
import { connectS3, createS3Fetch } from "../image/s3.ts";
import type { Scope } from "../lifecycle.ts";
import type { LineDeps } from "../moderate/line.ts";

/**
 * Fetches photos of S3, and of MAITRED_FOLDERS, with the limits of the settings; `scope` closes it.
 *
 * @param connections to S3 at most.
 * @returns what fetches one. @throws as `FetchPhoto` does.
 */
export function openPhotos(config: Config, scope: Scope, connections: number): LineDeps["fetch"] {
  const s3 = connectS3(config, connections);
  scope.onClose("S3", () => s3.destroy());
  const folders = foldersOf(config.folders);
  const fetch = createFetch({
    s3: createS3Fetch(s3),
    ...(folders.length > 0 && { folder: createFolderFetch(folders) }),
  });
  const limits = { maxBytes: config.maxBytes, timeoutMs: config.fetchTimeoutMs };
  return (photo) => fetch(photo, limits);
}
