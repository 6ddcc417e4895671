import sharp from "sharp";
import { UpstreamError } from "../errors.ts";

/**
 * Whether the decoder cannot read what is known to be whole, as where this machine, or a limit of it, has no other thread. What it
 * says then of a photo is as of one that is broken, or the words of another photo.
 */
export async function lacksThreads(): Promise<boolean> {
  // one may get the thread of a photo that was decoded meanwhile
  const reads = Array.from({ length: AT_ONCE }, () => sharp(KNOWN).raw().toBuffer());
  return (await Promise.allSettled(reads)).some(({ status }) => status === "rejected");
}

/** An outage. @param thrown what the decoder said of the photo. */
export function noThread(thrown: unknown): UpstreamError {
  const cause = Object.assign(new Error("no thread", { cause: thrown }), { code: "NO_THREAD" });
  return new UpstreamError("DECODE_UNAVAILABLE", "no thread can be begun to decode with", { cause });
}

const AT_ONCE = 4;

/** A white WebP of 512 x 16: for one that is as wide a second thread is begun, which reads on its own. */
const KNOWN = Buffer.from(
  "UklGRkIAAABXRUJQVlA4IDYAAABwBACdASoAAhAAPzmcyl4vKyikoQgB4CcJaQAACLUSrzW19OnTp06dOnTfAAD+7xAAAAAAAAA=",
  "base64",
);
