import fastify, { type FastifyInstance } from "fastify";
import type { Registry } from "prom-client";
import { ConfigError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { showMetrics } from "./gauges.ts";

interface Address {
  host: string;
  /** 0: any free one. */
  port: number;
  /** Whether any free port will do where this one is in use; false unless given. */
  orAnyFree?: boolean;
}

/**
 * Listens, and returns the URL with the port that it got.
 *
 * @param setting the name of the port's setting, for the message.
 * @throws {ConfigError} where the address cannot be listened on.
 */
export async function listen(app: FastifyInstance, address: Address, setting: string): Promise<string> {
  const { host, port, orAnyFree = false } = address;
  try {
    return await app.listen({ host, port });
  } catch (thrown) {
    const cause = thrown as NodeJS.ErrnoException;
    const busy = cause.code === "EADDRINUSE";
    if (busy && orAnyFree && port !== 0) return listen(app, { host, port: 0 }, setting);
    const how = busy
      ? `${setting}: port ${port} of ${host} is in use: end what uses it, or set another one (0: any free one)`
      : `MAITRED_HOST, ${setting}: ${cause.message}`;
    throw new ConfigError(how, { cause });
  }
}

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
