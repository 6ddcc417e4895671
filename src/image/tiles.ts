import sharp from "sharp";
import { boxesIn, boxesOf, openHeif } from "./boxes.ts";
import { shownIn } from "./heif.ts";
import { primaryOf } from "./items.ts";
import { optionsOf, scaled } from "./views.ts";

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
