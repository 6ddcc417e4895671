import cookie from "@fastify/cookie";
import type { FastifyInstance } from "fastify";
import { asError } from "../../errors.ts";
import { readShape } from "../../intake/shape.ts";
import type { Limits } from "../limits.ts";
import { HttpProblem } from "../problem.ts";
import { type Access, createAccess, refuseForgery, type Session } from "./access.ts";
import { serveBoard } from "./board.ts";
import { dashboardRoutes } from "./dashboard-routes.ts";
import type { DeskDeps, DeskSettings } from "./deps.ts";
import { serveLive } from "./live.ts";
import { logRoutes } from "./log-routes.ts";
import { serveOidc } from "./oidc-routes.ts";
import { operateRoutes } from "./operate-routes.ts";
import { servePage } from "./page.ts";
import { photoRoutes } from "./photo-routes.ts";
import { servePictures } from "./pictures.ts";
import { reviewRoutes } from "./review-routes.ts";
import type { DeskRoute } from "./route.ts";
import { signIn } from "./schemas.ts";

/** Every route of the desk but those of signing in, pictures and what is live. */
export const deskRoutes: readonly DeskRoute[] = [
  ...reviewRoutes,
  ...photoRoutes,
  ...operateRoutes,
  ...dashboardRoutes,
  ...logRoutes,
];

interface DeskNeeds {
  settings: DeskSettings;
  deps: DeskDeps;
  findToken: Parameters<typeof createAccess>[1]["findToken"];
  limits: Limits;
  /** Of every request to a route, with whom the session is of; nothing that is secret. */
  answered(about: { method: string; url: string; status: number; ms: number; token: string }): void;
  failed(error: Error): void;
}

/** The desk: its page, who is signed in, and what the page asks. Everything lies below /desk/. */
export async function serveDesk(app: FastifyInstance, needs: DeskNeeds): Promise<void> {
  const { settings, deps, findToken, limits } = needs;
  const access = createAccess(settings, { ...deps.access, findToken }, limits);
  await app.register(cookie);
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(HEADERS);
    if (request.method !== "GET" && request.method !== "HEAD") refuseForgery(settings, request);
  });
  serveSession(app, access, needs);
  serveOidc(app, deps.oidc, { settings, access, failed: (error) => needs.failed(asError(error)) });
  servePictures(app, access, deps);
  serveLive(app, access, { ...deps, failed: needs.failed });
  for (const route of deskRoutes) serveRoute(app, route, access, needs);
  // in scopes of their own: each serves files in its own way
  await app.register(async (own) => servePage(own, settings.deskFolder));
  await app.register(async (own) => serveBoard(own, access, deps.board));
}

function serveSession(app: FastifyInstance, access: Access, { settings, deps }: DeskNeeds): void {
  const about = ({ name, roles, endsAt }: Session) => ({
    signedIn: true,
    name,
    roles,
    endsAt,
    idleS: settings.deskIdleS,
    settings: { blur: settings.deskBlur === "on", leaseS: deps.leaseS, categories: deps.categories },
  });
  app.get("/desk/api/session", async (request) => {
    const session = await access.session(request).catch((thrown: unknown) => {
      // whoever is not looked up is to be asked for a token all the same
      if (!(thrown instanceof HttpProblem) || thrown.status !== 429) throw thrown;
    });
    return session ? about(session) : { signedIn: false, oidc: deps.oidc !== undefined };
  });
  app.post("/desk/api/session", { bodyLimit: MAX_BYTES }, async (request, reply) =>
    about(await access.signIn(request, reply, readShape(signIn, request.body, "expected a token or a link"))),
  );
  app.delete("/desk/api/session", async (request, reply) => {
    await access.signOut(request, reply);
    return reply.code(204).send();
  });
}

function serveRoute(
  app: FastifyInstance,
  route: DeskRoute,
  access: Access,
  { deps, answered }: DeskNeeds,
): void {
  const { method, url, role } = route;
  app.route({
    method,
    url,
    exposeHeadRoute: false,
    bodyLimit: route.maxBytes ?? MAX_BYTES,
    // before the body is read
    async onRequest(request) {
      await access.require(request, role);
    },
    async onResponse(request, reply) {
      const token = (await access.session(request).catch(() => undefined))?.subject ?? "";
      answered({ method, url, status: reply.statusCode, ms: Math.round(reply.elapsedTime), token });
    },
    async handler(request, reply) {
      const { body, query, params } = request;
      const answer = await route.handle(deps, {
        session: await access.require(request, role),
        body,
        query,
        params,
      });
      return reply.code(answer.status).send(answer.body);
    },
  });
}

/** On every answer, also those that are no page: what is asked for as data is never to be read as a page. */
const HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};
const MAX_BYTES = 10_000;
