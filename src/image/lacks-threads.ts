import sharp from "sharp";

/**
 * Whether the decoder can read nothing now, as where this machine, or a limit of it, has no other thread. What it says then of a
 * photo is as of one that is broken, or the words of another photo.
 */
export async function lacksThreads(): Promise<boolean> {
  return sharp(KNOWN)
    .raw()
    .toBuffer()
    .then(
      () => false,
      () => true,
    );
}

/** A white WebP of 512 x 16: for one that is as wide a second thread is begun, which reads on its own. */
const KNOWN = Buffer.from(
  "UklGRkIAAABXRUJQVlA4IDYAAABwBACdASoAAhAAPzmcyl4vKyikoQgB4CcJaQAACLUSrzW19OnTp06dOnTfAAD+7xAAAAAAAAA=",
  "base64",
);
