import fastify from "fastify";
import type { Registry } from "prom-client";
import type { Closable } from "../lifecycle.ts";
import { type Address, listen } from "./connections.ts";
import { showMetrics } from "./gauges.ts";

/**
 * `/metrics` (Prometheus), `/healthz` (the process answers) and `/readyz` (503 until `ready` says yes, which is
 * after the model's warm-up, and again while draining).
 *
 * @throws {ConfigError} as `listen` does.
 */
export async function serveHttp(
  address: Address,
  metrics: Registry,
  ready: () => boolean,
): Promise<Closable & { url: string }> {
  const app = fastify({ logger: false });
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    if (!ready()) reply.code(503);
    return { status: ready() ? "ready" : "not ready" };
  });
  showMetrics(app, metrics);
  const url = await listen(app, address, "MAITRED_PORT");
  return { url, close: () => app.close() };
}
