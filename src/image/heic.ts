import { UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { createThread } from "../thread.ts";
import { isLarge } from "./heif-pixels.ts";
import type { DecodeHeic, Size } from "./views.ts";

/** What `DecodeHeic` is asked for. */
export interface HeicTask {
  bytes: Uint8Array;
  size: Size;
  alpha: boolean;
}

export interface HeicDecoder extends Closable {
  /**
   * @throws {PhotoError} CORRUPT.
   * @throws {UpstreamError} DECODE_UNAVAILABLE when a thread died, or took more than a minute.
   */
  decode: DecodeHeic;
  /** From now on whatever has not begun rejects with CLOSED. */
  refuseWaiting(): void;
}

/**
 * Decodes HEIC in a few threads of their own: 0.6 to 1 s of one core and 150 MiB for 12 megapixels, which is why
 * each decodes one photo at a time. A thread starts with the first photo that it gets, and keeps the memory that its
 * largest one took; after a large one (see `isLarge`) it ends, which gives a gigabyte back. Callers wait in order; they bound how many.
 *
 * @param url the entry point workers/heic.ts.
 */
export function createHeicDecoder(url: URL, threads: number): HeicDecoder {
  let refused = false;
  const crew = Array.from({ length: threads }, () => ({
    thread: createThread<HeicTask, Uint8Array, null>({
      url,
      workerData: undefined,
      crashCode: "DECODE_UNAVAILABLE",
      timeoutMs: 60_000,
    }),
    tail: Promise.resolve() as Promise<unknown>,
    length: 0,
  }));
  return {
    decode(bytes, size, alpha) {
      const member = crew.reduce((best, each) => (each.length < best.length ? each : best));
      member.length++;
      // sent only when the one before is done, so that the time limit counts from when its own work begins
      const begin = (): Promise<Uint8Array> => {
        if (refused) throw new UpstreamError("CLOSED", "shutting down before it was decoded");
        return member.thread.call({ bytes, size, alpha }, []);
      };
      const done = member.tail.then(begin).finally(() => member.length--);
      const giveBack = async (): Promise<void> => {
        if (isLarge(bytes, "heic")) await member.thread.end();
      };
      member.tail = done
        .catch(() => {})
        .then(giveBack)
        .catch(() => {});
      return done;
    },
    refuseWaiting() {
      refused = true;
    },
    async close() {
      await Promise.all(crew.map(({ thread }) => thread.close()));
    },
  };
}
