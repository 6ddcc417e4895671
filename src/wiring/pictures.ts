/** Part of processes: pictures of photos for people to look at. */
import { availableParallelism } from "node:os";
import type { Config } from "../config.ts";
import { PhotoError, UpstreamError } from "../errors.ts";
import { restrictSharp } from "../image/decode.ts";
import { createHeicDecoder } from "../image/heic.ts";
import { shrink } from "../image/shrink.ts";
import type { DecodeHeic } from "../image/views.ts";
import type { Scope } from "../lifecycle.ts";
import { createPriorityLimiter } from "../moderate/priority-limiter.ts";
import { threadEntry } from "../package-root.ts";
import type { PhotoRef } from "../photo.ts";
import type { ExplainedPhoto } from "./explain.ts";
import { openPhotos } from "./photos.ts";

export interface Pictures {
  /**
   * A photo as a JPEG of at most `side` pixels, without EXIF; of one of which several views are judged, all of them, in rows.
   *
   * @param signal drops it where it has not begun.
   * @throws {PhotoError} as fetching and decoding do.
   * @throws {UpstreamError} as they do, and CLOSED where too many wait.
   */
  draw(photo: PhotoRef, side: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Where in what `draw` draws the model sees a human. @throws as `draw` does, and as what says so. */
  explain(photo: PhotoRef, signal: AbortSignal): Promise<ExplainedPhoto>;
}

/**
 * Fetches and decodes with the limits of a worker, a few at once, so that whatever is asked for takes bounded memory.
 *
 * @param explain says where in the bytes of a photo the model sees a human.
 */
export function openPictures(
  config: Config,
  scope: Scope,
  explain: (bytes: Uint8Array) => Promise<ExplainedPhoto>,
): Pictures {
  restrictSharp();
  const fetch = openPhotos(config, scope, WIDTH);
  const heic = openHeic(scope);
  const plain = createLine(WIDTH, MAX_WAITING);
  // one after the other, and beside the others, which are faster and are not to wait for them
  const explained = createLine(1, MAX_EXPLAINED);

  async function bytesOf(photo: PhotoRef, signal: AbortSignal): Promise<Uint8Array> {
    if (signal.aborted) throw new PhotoError("GONE", "nobody waits for it any more");
    return (await fetch(photo)).bytes;
  }

  return {
    draw: (photo, side, signal) =>
      plain(async () => {
        const limits = { side, maxPixels: config.maxPixels, quality: 82, damaged: true, sheet: true };
        return shrink(await bytesOf(photo, signal), limits, heic);
      }),
    explain: (photo, signal) => explained(async () => explain(await bytesOf(photo, signal))),
  };
}

/** Does `width` pieces of work at once, of which `most` may wait or be done. */
function createLine(width: number, most: number): <T>(work: () => Promise<T>) => Promise<T> {
  const limiter = createPriorityLimiter(width);
  let waiting = 0;
  return async (work) => {
    if (waiting >= most) throw new UpstreamError("CLOSED", "too many pictures wait: try again");
    waiting++;
    return limiter("live", work).finally(() => waiting--);
  };
}

/** Of one thread: each would keep some hundred MB. */
function openHeic(scope: Scope): DecodeHeic {
  return scope.hold("heic", createHeicDecoder(threadEntry("heic"), 1)).decode;
}

/** Pictures that are made at once. */
const WIDTH = availableParallelism() + 2;
/** Some pages of pictures. */
const MAX_WAITING = 500;
/** A page asks for one at a time. */
const MAX_EXPLAINED = 50;
