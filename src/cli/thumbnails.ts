import type { Config } from "../config.ts";
import { ModerationError } from "../errors.ts";
import { readPhoto } from "../image/folder.ts";
import { shrink } from "../image/shrink.ts";
import { createPriorityLimiter } from "../moderate/priority-limiter.ts";
import { openPictureHeic } from "./judging.ts";

/** Small pictures as data: URLs by path, for a page that needs nothing else. A photo that went away has none. */
export async function makeThumbnails(config: Config, paths: readonly string[]): Promise<Map<string, string>> {
  const heic = openPictureHeic();
  const limiter = createPriorityLimiter(4);
  const limits = { side: SIDE, maxPixels: config.maxPixels, quality: 72, damaged: true, sheet: true };
  const one = async (path: string): Promise<[string, string][]> => {
    try {
      const bytes = await readPhoto(path, config.maxBytes);
      const small = await shrink(bytes, limits, heic.decode);
      return [[path, `data:image/jpeg;base64,${small.toString("base64")}`]];
    } catch (thrown) {
      if (thrown instanceof ModerationError) return [];
      throw thrown;
    }
  };
  try {
    return new Map((await Promise.all(paths.map((path) => limiter("live", () => one(path))))).flat());
  } finally {
    await heic.close();
  }
}

/** Pixels of the long side: enough to see what went wrong. */
const SIDE = 260;
