/** Part of processes: erasing what is known of objects, in Postgres and in the queue. */
import type { Store } from "../photo.ts";
import type { Queues } from "../queue/queues.ts";
import { forgetObjects } from "../store/forget.ts";
import type { Pool } from "../store/pool.ts";

/**
 * The rows go before the jobs: whoever may not erase has then taken nothing out of the queue. A job that is left, because
 * this died in between, ends without effect.
 *
 * @throws as `forgetObjects` does; nothing was done then.
 */
export async function erase(
  db: Pool,
  queues: Queues,
  objects: readonly { store: Store; bucket: string; key: string }[],
  by: string,
): Promise<{ counts: Record<string, number>; removed: number; inHand: number }> {
  const { counts, photoIds } = await forgetObjects(db, objects, by, false);
  return { counts, ...(await queues.remove(photoIds)) };
}
