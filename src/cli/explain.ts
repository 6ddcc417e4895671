import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import type { Config } from "../config.ts";
import { seesNobody } from "../decide/decide.ts";
import { drawHeat } from "../image/heat.ts";
import { type Peak, peakOf } from "../image/peak.ts";
import type { Closable } from "../lifecycle.ts";
import type { Scores } from "../photo.ts";
import { replaceFile } from "../replace-file.ts";
import { type FileJudge, openPictureHeic } from "./file-judge.ts";

export interface Explainer extends Closable {
  /** Judges a file, and writes a picture of where the model sees a human. @throws as `FileJudge` and `replaceFile` do. */
  explain(path: string): Promise<{ scores: Scores; where: Peak; picture: string }>;
}

/** @param out a folder, made with the first picture; the same file has the same picture in it each time. */
export function createExplainer(config: Config, judge: FileJudge, out: string): Explainer {
  const heic = openPictureHeic();
  return {
    async explain(path) {
      const { scores, map, frame, bytes } = await judge.explain(path);
      const limits = { side: SIDE, maxPixels: config.maxPixels, frame };
      const seen = { human: scores.human, nobody: seesNobody(scores.human, judge.policy) };
      const drawn = await judge.turn(() => drawHeat(bytes, map, seen, limits, heic.decode));
      const picture = join(out, pictureName(path));
      await mkdir(out, { recursive: true });
      await replaceFile(picture, drawn);
      return { scores, where: peakOf(map), picture };
    },
    close: () => heic.close(),
  };
}

/** Photos of one name lie in many folders, so the path's hash tells them apart. */
function pictureName(path: string): string {
  const hash = createHash("sha256").update(resolve(path)).digest("hex").slice(0, 12);
  return `${basename(path, extname(path)).slice(0, 50)}-${hash}.jpg`;
}

/** Pixels of the long side. */
const SIDE = 640;
