import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import { type GaugeSource, showGauges } from "./gauges.ts";

/** What a listener counts, under names that dashboards may rely on. */
export interface ListenMetrics {
  messages(source: string, outcome: "taken" | "bad", count: number): void;
  events(source: string, outcome: string): void;
  failed(source: string, code: string): void;
  /** The exposition text; asks for the gauges as they are now. */
  text(): Promise<string>;
  contentType: string;
}

export function createListenMetrics(gauges: readonly GaugeSource[]): ListenMetrics {
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
  for (const source of gauges) showGauges(registry, source);
  return {
    messages: (source, outcome, count) => messages.inc({ source, outcome }, count),
    events: (source, outcome) => events.inc({ source, outcome }),
    failed: (source, code) => failures.inc({ source, code }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
