import type { Config } from "../config.ts";
import { each } from "../each.ts";
import { ModerationError } from "../errors.ts";
import { readPhoto } from "../image/folder.ts";
import { shrink } from "../image/shrink.ts";
import { openPictureHeic } from "./file-judge.ts";

/** Small pictures as data: URLs by path, for a page that needs nothing else. A photo that went away has none. */
export async function makeThumbnails(config: Config, paths: readonly string[]): Promise<Map<string, string>> {
  const heic = openPictureHeic();
  const thumbnails = new Map<string, string>();
  const limits = { side: SIDE, maxPixels: config.maxPixels, quality: 72, damaged: true, sheet: true };
  const one = async (path: string): Promise<void> => {
    try {
      const small = await shrink(await readPhoto(path, config.maxBytes), limits, heic.decode);
      thumbnails.set(path, `data:image/jpeg;base64,${small.toString("base64")}`);
    } catch (thrown) {
      if (!(thrown instanceof ModerationError)) throw thrown;
    }
  };
  try {
    await each(paths, 4, one);
    return thumbnails;
  } finally {
    await heic.close();
  }
}

/** Pixels of the long side: enough to see what went wrong. */
const SIDE = 260;
