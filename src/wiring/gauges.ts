/** Part of processes: numbers of Postgres that `/metrics` shows. */
import { fresh, type GaugeSource } from "../http/gauges.ts";
import { countBadMessages } from "../store/bad-messages.ts";
import { deliveryFigures } from "../store/deliveries.ts";
import { unqueuedState } from "../store/events.ts";
import { lastReplaced } from "../store/numbers.ts";
import { oldestPendingS } from "../store/photos.ts";
import type { Pool } from "../store/pool.ts";
import { sweepTotals } from "../store/sweeps.ts";

/** Every process that serves these reads the same: in a dashboard take their maximum, not their sum. */
export function gaugesOf(db: Pool): GaugeSource[] {
  const unqueued = fresh(() => unqueuedState(db));
  const sweeps = fresh(() => sweepTotals(db));
  const deliveries = fresh(() => deliveryFigures(db));
  return [
    {
      name: "maitred_unqueued_photos",
      help: "photos that are committed and in no queue",
      read: async () => (await unqueued()).photos,
    },
    {
      name: "maitred_unqueued_oldest_seconds",
      help: "how long the oldest of them has waited for a queue",
      read: async () => (await unqueued()).oldestS,
    },
    {
      name: "maitred_pending_oldest_seconds",
      help: "how long ago the oldest upload without a verdict was made known; 0 when none is",
      read: fresh(() => oldestPendingS(db)),
    },
    {
      name: "maitred_postgres_replaced_timestamp_seconds",
      help: "when Postgres was last seen to be restored, failed over or upgraded; 0: never",
      read: fresh(async () => ((await lastReplaced(db))?.since.getTime() ?? 0) / 1_000),
    },
    {
      name: "maitred_bad_messages",
      help: "messages that were put aside, and wait for maitred events",
      read: fresh(() => countBadMessages(db)),
    },
    {
      name: "maitred_sweep_missed_photos",
      help: "photos that events had missed, of all sweeps",
      labels: ["bucket"],
      read: async () => (await sweeps()).map(({ bucket, missed }) => ({ labels: { bucket }, value: missed })),
    },
    {
      name: "maitred_sweep_gone_photos",
      help: "removals that events had missed, of all sweeps",
      labels: ["bucket"],
      read: async () => (await sweeps()).map(({ bucket, gone }) => ({ labels: { bucket }, value: gone })),
    },
    {
      name: "maitred_sweep_finished_timestamp_seconds",
      help: "when the last sweep of the bucket ended; none that was interrupted",
      labels: ["bucket"],
      read: async () =>
        (await sweeps()).flatMap(({ bucket, last }) =>
          last ? [{ labels: { bucket }, value: last.finishedAt.getTime() / 1_000 }] : [],
        ),
    },
    {
      name: "maitred_deliveries",
      help: "deliveries that are to be made or are dead; 10,000 stands for that many or more",
      labels: ["destination", "state"],
      read: async () =>
        (await deliveries()).flatMap(({ destination, pending, dead }) => [
          { labels: { destination, state: "pending" }, value: pending },
          { labels: { destination, state: "dead" }, value: dead },
        ]),
    },
    {
      name: "maitred_deliveries_oldest_seconds",
      help: "how long ago the oldest change was of which the destination is still to be told",
      labels: ["destination"],
      read: async () =>
        (await deliveries()).map(({ destination, oldestS }) => ({ labels: { destination }, value: oldestS })),
    },
  ];
}
