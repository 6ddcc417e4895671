/** Part of processes: pictures of photos for people to look at. */
import type { Config } from "../config.ts";
import { PICTURES_AT_ONCE } from "../http/desk/pictures.ts";
import { restrictSharp } from "../image/decode.ts";
import { createHeicDecoder } from "../image/heic.ts";
import { shrink } from "../image/shrink.ts";
import type { Scope } from "../lifecycle.ts";
import { threadEntry } from "../package-root.ts";
import type { PhotoRef } from "../photo.ts";
import type { ExplainedPhoto } from "./explain.ts";
import { openPhotos } from "./photos.ts";

interface Pictures {
  /**
   * A photo as a JPEG of at most `side` pixels, without EXIF; of one of which several views are judged, all of them, in rows.
   *
   * @throws {PhotoError} or {UpstreamError} as fetching and decoding do.
   */
  draw(photo: PhotoRef, side: number): Promise<Uint8Array>;
  /** Where in what `draw` draws the model sees a human. @throws as `draw` does, and as what says so. */
  explain(photo: PhotoRef): Promise<ExplainedPhoto>;
}

/**
 * Fetches and decodes with the limits of a worker. Its callers bound how many are made at once.
 *
 * @param explain says where in the bytes of a photo the model sees a human.
 */
export async function openPictures(
  config: Config,
  scope: Scope,
  explain: (bytes: Uint8Array) => Promise<ExplainedPhoto>,
): Promise<Pictures> {
  await restrictSharp();
  const fetch = openPhotos(config, scope, PICTURES_AT_ONCE);
  // of one thread: each would keep some hundred MB
  const heic = scope.hold("heic", createHeicDecoder(threadEntry("heic"), 1)).decode;
  return {
    async draw(photo, side) {
      const limits = { side, maxPixels: config.maxPixels, quality: 82, damaged: true, sheet: true };
      return shrink((await fetch(photo)).bytes, limits, heic);
    },
    explain: async (photo) => explain((await fetch(photo)).bytes),
  };
}
