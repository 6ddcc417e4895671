import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { cachedFor } from "../asking.ts";
import { asError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { type ApiMetrics, createApiMetrics } from "./api-metrics.ts";
import { readJson } from "./bodies.ts";
import { authenticate, type Caller } from "./callers.ts";
import {
  answerBroken,
  boundConnections,
  boundedServer,
  limitBodiesInFlight,
  listen,
  type Timeouts,
} from "./connections.ts";
import type { DeskDeps, DeskSettings } from "./desk/deps.ts";
import { serveDesk } from "./desk/desk.ts";
import { showMetrics } from "./gauges.ts";
import { createLimits, type LimitSettings, type Limits } from "./limits.ts";
import { openApi } from "./openapi.ts";
import { answerThrown, HttpProblem } from "./problem.ts";
import type { ApiDeps, Route } from "./route.ts";
import { routes } from "./routes.ts";

interface ApiSettings extends LimitSettings {
  host: string;
  apiPort: number;
  /** Whether any free port will do where that one is in use; false unless given. */
  orAnyFree?: boolean;
  /** Addresses and networks whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  /** Uploads that may wait before events are refused for now; 0: any number. */
  queueLimit: number;
  patience?: Timeouts;
  /** What the OpenAPI document names. */
  version: string;
}

interface ApiEvents {
  /** Of every request to a route, with the id of its token, or at the desk whom the session is of; nothing that is secret. */
  answered(about: { method: string; url: string; status: number; ms: number; token: string }): void;
  /** What was answered with 5xx. */
  failed(error: Error): void;
}

interface Desk {
  settings: DeskSettings;
  deps: DeskDeps;
}

/**
 * The HTTP API: the routes of routes.ts, the desk below `/desk/`, `/openapi.json`, `/metrics`, `/healthz`, and `/readyz`,
 * which asks the queue. Every answer that is not what was asked for is a problem document. Beyond `queueLimit` what comes
 * in is answered 429.
 *
 * @throws {ConfigError} where the address cannot be listened on.
 */
export async function serveApi(
  settings: ApiSettings,
  deps: ApiDeps,
  events: ApiEvents,
  desk?: Desk,
): Promise<Closable & { url: string }> {
  const app = createApi(settings, deps, events, desk);
  const address = { ...settings, port: settings.apiPort };
  const url = await listen(app, address, "MAITRED_API_PORT");
  return { url, close: () => app.close() };
}

function createApi(
  settings: ApiSettings,
  deps: ApiDeps,
  events: ApiEvents,
  desk: Desk | undefined,
): FastifyInstance {
  const metrics = createApiMetrics(deps.gauges);
  const heard = { refused: metrics.refused, failed: events.failed };
  const app = fastify({
    logger: false,
    ...boundedServer(settings.patience),
    clientErrorHandler(error, socket) {
      metrics.refused("broken");
      answerBroken(error, socket);
    },
    trustProxy: settings.trustedProxies.length > 0 && [...settings.trustedProxies],
    // the bound is Node's, of the whole header; what is too long for an id is refused as any other that is none
    routerOptions: { maxParamLength: 20_000 },
    frameworkErrors: (error, _request, reply) => void answerThrown(error, reply as FastifyReply, heard),
  });
  boundConnections(app);
  app.removeAllContentTypeParsers();
  const bodies = new WeakMap<FastifyRequest, Buffer>();
  const received = (request: FastifyRequest, bytes: Buffer): void => {
    metrics.bytes("in", bytes.length);
    bodies.set(request, bytes);
  };
  readJson(app, "application/json", received);
  app.setErrorHandler((thrown, _request, reply) => answerThrown(asError(thrown), reply, heard));
  app.setNotFoundHandler(() => {
    throw new HttpProblem(404, "there is nothing at this address: see /openapi.json");
  });
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    metrics.answered(route, request.method, reply.statusCode, reply.elapsedTime / 1_000);
    metrics.bytes("out", Number(reply.getHeader("content-length") ?? 0));
  });
  const limits = createLimits(settings);
  const serving = { settings, deps, events, metrics, limits, bodies };
  const waiting = cachedFor(deps.waiting, 1_000);
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async () => {
    await waiting();
    return { status: "ready" };
  });
  showMetrics(app, metrics.registry);
  const document = Buffer.from(JSON.stringify(openApi(routes, settings.version)));
  app.get("/openapi.json", async (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(document),
  );
  for (const route of routes) {
    // in a scope of its own, where other types of bodies are read than elsewhere
    app.register(async (own) => {
      if (route.text) readJson(own, "text/plain", received);
      serve(own, route, { ...serving, waiting });
    });
  }
  if (desk) {
    const { findToken } = deps;
    app.register((own) => serveDesk(own, { ...desk, ...events, findToken, limits }));
  }
  for (const url of new Set(routes.map((route) => route.url))) {
    const allowed = routes.filter((route) => route.url === url);
    refuseOthers(
      app,
      url,
      allowed.map(({ method }) => method),
    );
  }
  return app;
}

interface Serving {
  settings: ApiSettings;
  deps: ApiDeps;
  events: ApiEvents;
  metrics: ApiMetrics;
  limits: Limits;
  /** As they came. */
  bodies: WeakMap<FastifyRequest, Buffer>;
  waiting: () => Promise<number>;
}

function serve(app: FastifyInstance, route: Route, serving: Serving): void {
  const { deps, events, metrics, limits, bodies, waiting } = serving;
  const { queueLimit } = serving.settings;
  const callers = new WeakMap<FastifyRequest, Caller>();
  const arrive = limitBodiesInFlight(MAX_ARRIVING);
  app.route({
    method: route.method,
    url: route.url,
    exposeHeadRoute: false,
    ...(route.maxBytes && { bodyLimit: route.maxBytes }),
    // before the body is read, so that nobody makes this process read what it will refuse
    async onRequest(request) {
      await authenticate(route, request, deps, limits, (caller) => callers.set(request, caller));
      if (route.queues && queueLimit > 0 && (await waiting()) >= queueLimit) {
        const later = { "retry-after": BUSY_S };
        throw new HttpProblem(429, `${queueLimit} uploads wait already`, later, "queue_full");
      }
      if (route.proofs?.includes("signature")) arrive(request.raw);
    },
    async onResponse(request, reply) {
      const { method, url } = route;
      const ms = Math.round(reply.elapsedTime);
      events.answered({ method, url, status: reply.statusCode, ms, token: callers.get(request)?.id ?? "" });
    },
    async handler(request, reply) {
      const { body, query, params, headers } = request;
      const { id: tokenId, external } = callers.get(request)!;
      const answer = await route.handle(deps, {
        body,
        query,
        params,
        headers,
        // without the mark that may stand before it
        text: () => new TextDecoder().decode(bodies.get(request)),
        tokenId,
        external,
      });
      const source = route.url.slice(route.url.lastIndexOf("/") + 1);
      for (const outcome of answer.outcomes ?? []) metrics.event(source, outcome);
      return reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .send(answer.body);
    },
  });
}

function refuseOthers(app: FastifyInstance, url: string, allowed: readonly string[]): void {
  app.route({
    method: app.supportedMethods.filter((method) => !allowed.includes(method)),
    url,
    async onRequest() {
      const allow = allowed.join(", ");
      throw new HttpProblem(405, `expected ${allowed.join(" or ")}`, { allow });
    },
    handler: () => {},
  });
}

const BUSY_S = "30";
/** Bodies of a route that anybody may send one to. */
const MAX_ARRIVING = 64;
