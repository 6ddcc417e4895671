/** Part of processes: numbers of Postgres that `/metrics` shows. */
import type { GaugeSource } from "../src/http/gauges.ts";
import { countBadMessages } from "../src/store/bad-messages.ts";
import { unqueuedState } from "../src/store/events.ts";
import type { Pool } from "../src/store/pool.ts";

/** Every process that serves these reads the same: in a dashboard take their maximum, not their sum. */
export function gaugesOf(db: Pool): GaugeSource[] {
  return [
    {
      gauges: [
        { name: "maitred_unqueued_photos", help: "photos that are committed and in no queue" },
        {
          name: "maitred_unqueued_oldest_seconds",
          help: "how long the oldest of them has waited for a queue",
        },
      ],
      async read() {
        const { photos, oldestS } = await unqueuedState(db);
        return { maitred_unqueued_photos: photos, maitred_unqueued_oldest_seconds: oldestS };
      },
    },
    {
      gauges: [{ name: "maitred_bad_messages", help: "messages of queues that wait for maitred events" }],
      read: async () => ({ maitred_bad_messages: await countBadMessages(db) }),
    },
  ];
}
