import { unsupported } from "./boxes.ts";
import type { Format } from "./sniff.ts";

/** Colours as ITU-T H.273 numbers them: those that are mixed, and what leads from stored to shown brightness. */
export interface Cicp {
  primaries: number;
  transfer: number;
}

/**
 * Those of all that a camera or a screen writes are near enough to sRGB. No decoder here applies any.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function checkCicp(format: Format | "colour profile", { primaries, transfer }: Cicp): void {
  if (FAR_TRANSFERS.has(transfer))
    throw unsupported(
      `a ${format} of the brightness of sRGB, got transfer ${transfer}, which browsers would show as another picture: save it as sRGB`,
    );
  if (!NEAR_PRIMARIES.has(primaries))
    throw unsupported(
      `a ${format} of the colours of a screen, got primaries ${primaries}, which browsers would show as another picture: save it as sRGB`,
    );
}

/** Linear, logarithmic, and that of cinemas. */
const FAR_TRANSFERS = new Set([8, 9, 10, 17]);
/** Of television, screens and cinemas, and what is not said. */
const NEAR_PRIMARIES = new Set([1, 2, 4, 5, 6, 7, 9, 11, 12, 22]);
