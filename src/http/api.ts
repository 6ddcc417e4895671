import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { asError, ConfigError, ModerationError } from "../errors.ts";
import { readJson } from "../intake/message.ts";
import type { Closable } from "../lifecycle.ts";
import { recently } from "../recently.ts";
import { provenOtherwise } from "./callers.ts";
import { openApi } from "./openapi.ts";
import { HttpProblem, PROBLEM_TYPE, problemOf } from "./problem.ts";
import { type ApiDeps, type Route, routes } from "./routes.ts";
import { basicOf, bearerOf, isToken } from "./tokens.ts";

export interface ApiSettings {
  host: string;
  apiPort: number;
  /** Uploads that may wait before events are refused for now; 0: any number. */
  queueLimit: number;
  /** What the OpenAPI document names. */
  version: string;
}

export interface ApiEvents {
  /** Of every request to a route, with the id of its token; nothing that is secret. */
  answered(about: { method: string; url: string; status: number; ms: number; token: string }): void;
  /** What was answered with 5xx. */
  failed(error: Error): void;
}

/**
 * The HTTP API: the routes of routes.ts, `/openapi.json`, `/healthz`, and `/readyz`, which asks the queue. Every answer
 * that is not what was asked for is a problem document. Beyond `queueLimit` what comes in is answered 429.
 *
 * @throws {ConfigError} CONFIG_INVALID where the address cannot be listened on.
 */
export async function serveApi(
  settings: ApiSettings,
  deps: ApiDeps,
  events: ApiEvents,
): Promise<Closable & { url: string }> {
  const app = createApi(settings, deps, events);
  const url = await app.listen({ host: settings.host, port: settings.apiPort }).catch((cause: Error) => {
    throw new ConfigError("CONFIG_INVALID", `MAITRED_HOST, MAITRED_API_PORT: ${cause.message}`, { cause });
  });
  return { url, close: () => app.close() };
}

function createApi(settings: ApiSettings, deps: ApiDeps, events: ApiEvents): FastifyInstance {
  const app = fastify({
    logger: false,
    requestTimeout: 60_000,
    // Node bounds what comes before a body; what is too long for an id is refused as any other that is none
    routerOptions: { maxParamLength: 20_000 },
    frameworkErrors: (error, _request, reply) => void explain(error, reply as FastifyReply, events),
  });
  app.removeContentTypeParser("text/plain");
  const waiting = recently(deps.waiting, 1_000);
  app.setErrorHandler((thrown, _request, reply) => explain(asError(thrown), reply, events));
  app.setNotFoundHandler((_request, reply) =>
    send(reply, 404, "there is nothing at this address: see /openapi.json"),
  );
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async () => {
    await waiting();
    return { status: "ready" };
  });
  const document = openApi(routes, settings.version);
  app.get("/openapi.json", async () => document);
  for (const route of routes) {
    app.register(async (own) => {
      if (route.text) {
        own.addContentTypeParser(
          "text/plain",
          { parseAs: "string" },
          async (_request: unknown, text: string) => readJson(text, "the body"),
        );
      }
      serve(own, route, settings, deps, events, waiting);
    });
  }
  return app;
}

function serve(
  app: FastifyInstance,
  route: Route,
  { queueLimit }: ApiSettings,
  deps: ApiDeps,
  events: ApiEvents,
  waiting: () => Promise<number>,
): void {
  const tokens = new WeakMap<FastifyRequest, string>();
  app.route({
    method: route.method,
    url: route.url,
    exposeHeadRoute: false,
    ...(route.maxBytes && { bodyLimit: route.maxBytes }),
    // before the body is read, so that nobody makes this process read what it will refuse
    async onRequest(request) {
      tokens.set(request, await authenticate(route, request, deps));
      if (route.method === "POST" && queueLimit > 0 && (await waiting()) >= queueLimit) {
        throw new HttpProblem(429, `${queueLimit} uploads wait already`, { "retry-after": BUSY_S });
      }
    },
    async onResponse(request, reply) {
      const { method, url } = route;
      const ms = Math.round(reply.elapsedTime);
      events.answered({ method, url, status: reply.statusCode, ms, token: tokens.get(request) ?? "" });
    },
    async handler(request, reply) {
      const { body, query, params, headers } = request;
      const answer = await route.handle(deps, {
        body,
        query,
        params,
        headers,
        tokenId: tokens.get(request)!,
      });
      return reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .send(answer.body);
    },
  });
}

/** @returns who it is, for the log: the id of the token, or who sent the message. */
async function authenticate(route: Route, request: FastifyRequest, deps: ApiDeps): Promise<string> {
  const { proofs = ["token"] } = route;
  const other = await provenOtherwise(proofs, request.headers, deps.senders);
  if (other !== undefined) return other;
  const { authorization } = request.headers;
  const basic = proofs.includes("password");
  const bearer = bearerOf(authorization) ?? (basic ? basicOf(authorization) : undefined);
  const stored = bearer && (await deps.findToken(bearer.id));
  if (!bearer || !stored || !isToken(bearer.token, stored)) {
    const how = "expected the header Authorization: Bearer TOKEN; maitred token create makes one";
    // SNS sends a password only once it is asked for one
    throw new HttpProblem(401, how, { "www-authenticate": basic ? 'Basic realm="maitred"' : "Bearer" });
  }
  if (stored.scopes.includes(route.scope)) return stored.id;
  throw new HttpProblem(403, `the token ${stored.id} lacks the scope ${route.scope}`);
}

function explain(error: Error, reply: FastifyReply, events: ApiEvents): FastifyReply {
  if (error instanceof HttpProblem) {
    return send(reply.headers(error.headers), error.status, error.message);
  }
  if (error instanceof ModerationError) {
    if (!error.retry)
      return send(reply, error.code === "EVENT_REFUSED" ? 403 : 400, error.message, error.code);
    events.failed(error);
    // the message names servers, which is nobody's business but the log's
    return send(reply.header("retry-after", AWAY_S), 503, "a server is away for now: try again", error.code);
  }
  // what fastify itself refuses: a body that is too large, not JSON, or of another type
  const { statusCode = 500 } = error as { statusCode?: number };
  if (statusCode >= 400 && statusCode < 500) return send(reply, statusCode, error.message);
  events.failed(error);
  return send(reply, 500, "a bug: see the log", "INTERNAL");
}

function send(reply: FastifyReply, status: number, detail: string, code?: string): FastifyReply {
  // as bytes, because fastify would add a charset to text, which the type does not have
  const bytes = Buffer.from(JSON.stringify(problemOf(status, detail, code)));
  return reply.code(status).type(PROBLEM_TYPE).send(bytes);
}

const BUSY_S = "30";
const AWAY_S = "5";
