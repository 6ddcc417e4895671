import fastify from "fastify";
import { ConfigError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Metrics } from "./metrics.ts";

export interface HttpSettings {
  host: string;
  port: number;
}

export interface HttpServer extends Closable {
  /** With the port that was given, where any free one was asked for. */
  url: string;
}

/**
 * `/metrics` (Prometheus), `/healthz` (the process answers) and `/readyz` (503 until `ready` says yes, which is
 * after the model's warm-up, and again while draining).
 */
export async function serveHttp(
  settings: HttpSettings,
  metrics: Pick<Metrics, "text" | "contentType">,
  ready: () => boolean,
): Promise<HttpServer> {
  const app = fastify({ logger: false });
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    if (!ready()) reply.code(503);
    return { status: ready() ? "ready" : "not ready" };
  });
  app.get("/metrics", async (_request, reply) => {
    reply.type(metrics.contentType);
    return metrics.text();
  });
  const url = await app.listen({ host: settings.host, port: settings.port }).catch((cause: Error) => {
    throw new ConfigError("CONFIG_INVALID", `MAITRED_HOST, MAITRED_PORT: ${cause.message}`, { cause });
  });
  return { url, close: () => app.close() };
}
