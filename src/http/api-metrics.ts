import { type GaugeSource, showGauges } from "./gauges.ts";
import { openRegistry } from "./registry.ts";

export type ApiMetrics = ReturnType<typeof createApiMetrics>;

/** What the API counts, under names that dashboards may rely on. */
export function createApiMetrics(gauges: readonly GaugeSource[]) {
  const { registry, counter, histogram } = openRegistry();
  const requests = counter("maitred_http_requests_total", "requests that were answered", [
    "route",
    "method",
    "status",
  ]);
  const durations = histogram(
    "maitred_http_request_seconds",
    "from the header of a request to the end of its answer",
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    ["route", "method"],
  );
  const events = counter(
    "maitred_events_total",
    "events by where they came from and what became of them; ignored ones are of no concern here, bad are messages that were put aside",
    ["source", "outcome"],
  );
  const refused = counter("maitred_http_refused_total", "requests that were not taken, by reason", [
    "reason",
  ]);
  const bytes = counter("maitred_http_bytes_total", "bytes of bodies that came in and went out", [
    "direction",
  ]);
  showGauges(registry, gauges);
  return {
    /** @param route as it is declared, never as it was asked for: whoever asks must not choose the labels. */
    answered(route: string, method: string, status: number, seconds: number): void {
      requests.inc({ route, method, status: String(status) });
      durations.observe({ route, method }, seconds);
    },
    event: (source: string, outcome: string, count = 1) => events.inc({ source, outcome }, count),
    refused: (reason: string) => refused.inc({ reason }),
    bytes: (direction: "in" | "out", count: number) => bytes.inc({ direction }, count),
    registry,
  };
}
