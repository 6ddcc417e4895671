/** Part of processes: numbers of Postgres that `/metrics` shows. */
import type { GaugeSource } from "../http/gauges.ts";
import { countBadMessages } from "../store/bad-messages.ts";
import { deliveryFigures } from "../store/deliveries.ts";
import { unqueuedState } from "../store/events.ts";
import { oldestPendingS } from "../store/photos.ts";
import type { Pool } from "../store/pool.ts";
import { sweepTotals } from "../store/sweep-totals.ts";

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
      gauges: [
        {
          name: "maitred_pending_oldest_seconds",
          help: "how long ago the oldest upload without a verdict was made known; 0 when none is",
        },
      ],
      read: async () => ({ maitred_pending_oldest_seconds: await oldestPendingS(db) }),
    },
    {
      gauges: [{ name: "maitred_bad_messages", help: "messages of queues that wait for maitred events" }],
      read: async () => ({ maitred_bad_messages: await countBadMessages(db) }),
    },
    {
      gauges: [
        {
          name: "maitred_sweep_missed_photos",
          help: "photos that events had missed, of all sweeps",
          labels: ["bucket"],
        },
        {
          name: "maitred_sweep_gone_photos",
          help: "removals that events had missed, of all sweeps",
          labels: ["bucket"],
        },
        {
          name: "maitred_sweep_finished_timestamp_seconds",
          help: "when the last sweep of the bucket ended; none that was interrupted",
          labels: ["bucket"],
        },
      ],
      async read() {
        const totals = await sweepTotals(db);
        return {
          maitred_sweep_missed_photos: totals.map(({ bucket, missed }) => ({
            labels: { bucket },
            value: missed,
          })),
          maitred_sweep_gone_photos: totals.map(({ bucket, gone }) => ({ labels: { bucket }, value: gone })),
          maitred_sweep_finished_timestamp_seconds: totals.flatMap(({ bucket, last }) =>
            last ? [{ labels: { bucket }, value: last.finishedAt.getTime() / 1_000 }] : [],
          ),
        };
      },
    },
    {
      gauges: [
        {
          name: "maitred_deliveries",
          help: "deliveries that are to be made or are dead; 10,000 stands for that many or more",
          labels: ["destination", "state"],
        },
        {
          name: "maitred_deliveries_oldest_seconds",
          help: "how long ago the oldest change was of which the destination is still to be told",
          labels: ["destination"],
        },
      ],
      async read() {
        const figures = await deliveryFigures(db);
        return {
          maitred_deliveries: figures.flatMap(({ destination, pending, dead }) => [
            { labels: { destination, state: "pending" }, value: pending },
            { labels: { destination, state: "dead" }, value: dead },
          ]),
          maitred_deliveries_oldest_seconds: figures.map(({ destination, oldestS }) => ({
            labels: { destination },
            value: oldestS,
          })),
        };
      },
    },
  ];
}
