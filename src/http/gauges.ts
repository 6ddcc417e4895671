import type { FastifyInstance } from "fastify";
import { Gauge, type Registry } from "prom-client";
import { recently } from "../recently.ts";
import { within } from "./within.ts";

/** Numbers that somebody else knows, such as Postgres, and that are asked for when somebody scrapes. */
export interface GaugeSource {
  gauges: readonly { name: string; help: string; labels?: readonly string[] }[];
  /** By name; of a gauge with labels, one value for each set of them. What is left out is not shown. */
  read(): Promise<Readonly<Record<string, number | readonly LabelledValue[]>>>;
}

export interface LabelledValue {
  labels: Readonly<Record<string, string>>;
  value: number;
}

/**
 * Shows these numbers in the registry. They are a few seconds old at most; while they cannot be read they are left out:
 * their absence is what an alert should look for, and the scrape goes on without them.
 */
export function showGauges(registry: Registry, { gauges, read }: GaugeSource): void {
  const answer = within(recently(read, FRESH_MS));
  for (const { name, help, labels = [] } of gauges) {
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [registry],
      async collect() {
        const value = (await answer(PATIENCE_MS))?.[name];
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
