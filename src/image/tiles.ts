import sharp from "sharp";
import { boxesIn, boxesOf, onlyOne, openHeif } from "./boxes.ts";
import { GRID, shownIn } from "./heif.ts";
import { primaryOf } from "./items.ts";
import { type DecodeHeic, optionsOf, scaled } from "./views.ts";

/**
 * Decodes each tile of an AVIF by itself, as the picture of a copy that is otherwise the same. Of a whole the decoder leaves out those
 * that it cannot decode and says nothing, where browsers show what they make of them.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT; and whatever the decoder throws of a tile.
 */
export async function checkTiles(bytes: Uint8Array): Promise<void> {
  const heif = openHeif(bytes);
  for (const box of boxesOf(heif, { from: 0, to: bytes.length })) {
    if (box.type !== "meta") continue;
    const meta = boxesIn(heif, box);
    const tiles = shownIn(heif, meta, "avif").filter(({ as }) => as === "tile");
    if (tiles.length === 0) continue;
    const { from, size } = primaryOf(heif, meta)!;
    const copy = Buffer.from(bytes);
    for (const { item } of tiles) {
      copy.writeUIntBE(item.id, from, size);
      copy[item.hiddenAt]! &= ~1;
      await scaled(sharp(copy, optionsOf("truncated")), { width: 1, height: 1 }).toBuffer();
    }
  }
}

/**
 * Decodes the alpha of a HEIC by itself, where it is made of tiles, as the picture of a copy that is otherwise the same: of a picture's own tiles
 * `heic` tells that one cannot be decoded, of its alpha's it does not.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT; and whatever `heic` throws.
 */
export async function checkAlpha(bytes: Uint8Array, heic: DecodeHeic): Promise<void> {
  const heif = openHeif(bytes);
  for (const box of boxesOf(heif, { from: 0, to: bytes.length })) {
    if (box.type !== "meta") continue;
    const meta = boxesIn(heif, box);
    const alpha = shownIn(heif, meta, "heic").find(({ item, as }) => as === "alpha" && item.type === GRID);
    if (!alpha) continue;
    const { from, size } = primaryOf(heif, meta)!;
    const copy = Buffer.from(bytes);
    copy.writeUIntBE(alpha.item.id, from, size);
    copy[alpha.item.hiddenAt]! &= ~1;
    // or libheif takes it for what stands beside another picture
    const iref = onlyOne(meta, "iref")!;
    for (let at = copy.indexOf("auxl", iref.from); at >= 0 && at < iref.to; at = copy.indexOf("auxl", at))
      copy.write("none", at);
    await heic(copy, { width: 1, height: 1 }, false);
  }
}
