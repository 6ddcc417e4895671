import type { FastifyInstance } from "fastify";
import { Gauge, type Registry } from "prom-client";
import { cachedFor, within } from "../asking.ts";

/** A number that somebody else knows, such as Postgres, and that is asked for when somebody scrapes. */
export interface GaugeSource {
  name: string;
  help: string;
  labels?: readonly string[];
  /** Of a gauge with labels, one value for each set of them. */
  read(): Promise<number | readonly LabelledValue[]>;
}

interface LabelledValue {
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** What gauges read, a few seconds old at most: asked once for all of a scrape. */
export function fresh<T>(ask: () => Promise<T>): () => Promise<T> {
  return cachedFor(ask, FRESH_MS);
}

/**
 * Shows these numbers in the registry. While one cannot be read it is left out: its absence is what an alert should look for, and
 * the scrape goes on without it.
 */
export function showGauges(registry: Registry, gauges: readonly GaugeSource[]): void {
  for (const { name, help, labels = [], read } of gauges) {
    const answer = within(read);
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
      async collect() {
        const value = await answer(PATIENCE_MS);
        // a gauge without labels would be reset to 0, which is a number too
        if (labels.length === 0) this.remove();
        else this.reset();
        if (typeof value === "number") this.set(value);
        else for (const each of value ?? []) this.set({ ...each.labels }, each.value);
      },
    });
  }
}

/** Serves `/metrics`: what was counted, and the gauges as they are now. */
export function showMetrics(app: FastifyInstance, registry: Registry): void {
  app.get("/metrics", async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
}

const FRESH_MS = 5_000;
const PATIENCE_MS = 2_000;
