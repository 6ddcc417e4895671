/** Part of processes: erasing what is known of objects, in Postgres and in the queue. */
import type { Store } from "../src/photo.ts";
import type { Queues } from "../src/queue/queues.ts";
import { forgetObjects } from "../src/store/forget.ts";
import type { Pool } from "../src/store/pool.ts";

/**
 * Jobs go before the rows, which know their ids, and again after them, for those that came in between.
 *
 * @param photoIds the photos of the objects.
 * @throws as `forgetObjects` does.
 */
export async function erase(
  db: Pool,
  queues: Queues,
  objects: readonly { store: Store; bucket: string; key: string }[],
  by: string,
  photoIds: readonly string[],
): Promise<{ counts: Record<string, number>; removed: number; inHand: number }> {
  const before = await queues.remove(photoIds);
  const erased = await forgetObjects(db, objects, by, false);
  const after = await queues.remove(erased.photoIds);
  return { counts: erased.counts, removed: before.removed + after.removed, inHand: after.inHand };
}
