import { type GaugeSource, showGauges } from "./gauges.ts";
import { openRegistry } from "./registry.ts";

/** What a listener counts, under names that dashboards may rely on. */
export function createListenMetrics(gauges: readonly GaugeSource[]) {
  const { registry, counter } = openRegistry();
  const messages = counter(
    "maitred_listen_messages_total",
    "messages of queues: taken, or bad and put aside",
    ["source", "outcome"],
  );
  const events = counter("maitred_listen_events_total", "events in those messages, by what became of them", [
    "source",
    "outcome",
  ]);
  const failures = counter(
    "maitred_listen_failures_total",
    "receives that failed, whose messages come back, by code",
    ["source", "code"],
  );
  showGauges(registry, gauges);
  return {
    messages: (source: string, outcome: "taken" | "bad", count: number) =>
      messages.inc({ source, outcome }, count),
    events: (source: string, outcome: string) => events.inc({ source, outcome }),
    failed: (source: string, code: string) => failures.inc({ source, code }),
    registry,
  };
}
