import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import { type GaugeSource, showGauges } from "./gauges.ts";

/** What a listener counts, under names that dashboards may rely on. */
export function createListenMetrics(gauges: readonly GaugeSource[]) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const messages = new Counter({
    name: "maitred_listen_messages_total",
    help: "messages of queues: taken, or bad and put aside",
    labelNames: ["source", "outcome"],
    registers,
  });
  const events = new Counter({
    name: "maitred_listen_events_total",
    help: "events in those messages, by what became of them",
    labelNames: ["source", "outcome"],
    registers,
  });
  const failures = new Counter({
    name: "maitred_listen_failures_total",
    help: "receives that failed, whose messages come back, by code",
    labelNames: ["source", "code"],
    registers,
  });
  showGauges(registry, gauges);
  return {
    messages: (source: string, outcome: "taken" | "bad", count: number) =>
      messages.inc({ source, outcome }, count),
    events: (source: string, outcome: string) => events.inc({ source, outcome }),
    failed: (source: string, code: string) => failures.inc({ source, code }),
    registry,
  };
}
