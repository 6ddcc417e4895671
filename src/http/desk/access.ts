import type { FastifyReply, FastifyRequest } from "fastify";
import { createLimits, type LimitSettings, type Limits, remember } from "../limits.ts";
import { HttpProblem } from "../problem.ts";
import { cookieOf, createSecret, hashOf, isSecret, readCookie } from "../secrets.ts";
import { bearerOf, type StoredToken } from "../tokens.ts";
import type { Role } from "./schemas.ts";

export interface AccessSettings extends Pick<LimitSettings, "authLimit"> {
  /** Where browsers reach the desk, as https://photos.example.com; "": as they ask. */
  deskUrl: string;
  /** Seconds after which a session ends, used or not. */
  deskSessionS: number;
}

/** Whom a session is of. */
export interface Identity {
  /** `token:ID`, `oidc:ISSUER#SUBJECT` or `link:NAME`. */
  subject: string;
  /** What history calls this person; of a session, nobody else. */
  name: string;
  roles: readonly Role[];
}

/** One who is signed in. */
export interface Session extends Identity {
  id: string;
  /** What the browser alone keeps. */
  secret: string;
  /** ISO 8601. */
  endsAt: string;
}

/** What is kept of a session. Times are ISO 8601. */
export interface StoredSession {
  id: string;
  hash: Uint8Array;
  /** `token:ID`, `oidc:ISSUER#SUBJECT` or `link:NAME`. */
  subject: string;
  name: string;
  roles: readonly string[];
  startedAt: string;
  seenAt: string;
  endsAt: string;
}

export interface AccessDeps {
  findToken(id: string): Promise<StoredToken | undefined>;
  /** Whom a one-time link is for; it is used up by this. Undefined where there is no such link, or not any more. */
  redeem(code: string, address: string): Identity | undefined;
  /** @returns when it ends, as ISO 8601, and the name that this person, and nobody else, has from now on. */
  startSession(session: Identity & { id: string; hash: Buffer }): Promise<{ endsAt: string; name: string }>;
  /** The session with this id, while it holds. @param usedWith hash of the secret that it is used with; undefined: it is not used. */
  findSession(id: string, usedWith: Uint8Array | undefined): Promise<StoredSession | undefined>;
  endSession(id: string, by: string, did: "signed-out" | "revoked"): Promise<boolean>;
}

export interface Access {
  /** Who asks; undefined where nobody is signed in. */
  session(request: FastifyRequest): Promise<Session | undefined>;
  /**
   * @throws {HttpProblem} 401 where nobody is signed in, or another than the page says that it asks for; 403 where they lack
   * the role; "any" is any of them.
   */
  require(request: FastifyRequest, role: Role | "any"): Promise<Session>;
  /** @throws {HttpProblem} 401 wrong, 403 it is for no desk, 429 too many wrong ones came. */
  signIn(
    request: FastifyRequest,
    reply: FastifyReply,
    how: { token: string } | { link: string },
  ): Promise<Session>;
  /** Starts a session of somebody who has proven who they are, and ends the one that the browser had. */
  start(request: FastifyRequest, reply: FastifyReply, who: Identity): Promise<Session>;
  /** Ends the session that the browser has, where it has one. */
  end(request: FastifyRequest): Promise<void>;
  signOut(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

export function createAccess(settings: AccessSettings, deps: AccessDeps, limits: Limits): Access {
  const sessions = new WeakMap<FastifyRequest, Promise<Session | undefined>>();
  // of their own: pages whose session ended are to keep no token out
  const cookies = createLimits({ rateLimit: 0, authLimit: settings.authLimit });

  // one that is of no session never will be again: a page asks many things with it, and only the first counts
  const wrong = new Set<string>();

  async function find(request: FastifyRequest, limited = true): Promise<Session | undefined> {
    const cookie = request.cookies[cookieName(settings, request)] ?? "";
    const own = readCookie(cookie);
    if (!own || wrong.has(cookie)) return undefined;
    if (limited) await cookies.checkAttempt(request.ip, cookie);
    const stored = await deps.findSession(own.id, isUse(request) ? hashOf(own.secret) : undefined);
    if (!stored || !isSecret(own.secret, stored.hash)) {
      remember(wrong, cookie);
      await cookies.recordFailure(request.ip, cookie);
      return undefined;
    }
    await cookies.consumeToken(own.id, cookie);
    const { subject, name, roles, endsAt } = stored;
    return { id: own.id, secret: own.secret, subject, name, roles: roles as Role[], endsAt };
  }

  const access: Access = {
    session(request) {
      const found = sessions.get(request) ?? find(request);
      sessions.set(request, found);
      return found;
    },
    async require(request, role) {
      const session = await access.session(request);
      if (!session) throw new HttpProblem(401, "sign in first: the session ended, or there was none");
      const { "x-maitred-as": meant } = request.headers;
      if (meant !== undefined && meant !== encodeURIComponent(session.name))
        throw new HttpProblem(401, `${session.name} signed in since in this browser`);
      if (role === "any" || session.roles.includes(role)) return session;
      throw new HttpProblem(403, `${session.name} is no ${role}: ask whoever gives out tokens for the role`);
    },
    async signIn(request, reply, how) {
      return access.start(
        request,
        reply,
        "token" in how
          ? await ofToken(how.token, request.ip, deps, limits)
          : await ofLink(how.link, request.ip, deps, limits),
      );
    },
    async start(request, reply, who) {
      // whoever comes here has just shown who they are
      sessions.set(request, sessions.get(request) ?? find(request, false));
      await access.end(request);
      const own = createSecret();
      const cookie = cookieOf(own);
      const started = await deps.startSession({ ...who, id: own.id, hash: hashOf(own.secret) });
      await cookies.consumeToken(own.id, cookie);
      const secure = isSecure(settings, request);
      reply.setCookie(cookieName(settings, request), cookie, {
        httpOnly: true,
        sameSite: "strict",
        secure,
        // the prefix __Host-, which keeps neighbours of the domain from setting it, wants the whole path
        path: secure ? "/" : "/desk",
        maxAge: settings.deskSessionS,
      });
      return { ...who, ...started, ...own };
    },
    async end(request) {
      const session = await access.session(request);
      if (session) await deps.endSession(session.id, session.name, "signed-out");
    },
    async signOut(request, reply) {
      await access.end(request);
      const secure = isSecure(settings, request);
      reply.clearCookie(cookieName(settings, request), { secure, path: secure ? "/" : "/desk" });
    },
  };
  return access;
}

/** Whether browsers reach the desk over https. */
export function isSecure({ deskUrl }: AccessSettings, request: FastifyRequest): boolean {
  return deskUrl === "" ? request.protocol === "https" : deskUrl.startsWith("https:");
}

/**
 * Refuses what another page may have made a browser send: it cannot set this header without being asked first, and the
 * browser says whose page it is.
 *
 * @throws {HttpProblem} 403
 */
export function refuseForgery({ deskUrl }: AccessSettings, request: FastifyRequest): void {
  const { origin, "sec-fetch-site": site = "same-origin", "x-maitred-desk": own } = request.headers;
  const ours = deskUrl === "" ? `${request.protocol}://${request.host}` : new URL(deskUrl).origin;
  if (own !== "1" && own !== IDLE)
    throw new HttpProblem(403, "expected the header X-Maitred-Desk: 1, which the desk sends");
  if (site !== "same-origin" || (origin !== undefined && origin !== ours)) {
    throw new HttpProblem(403, `expected a request of ${ours}: is MAITRED_DESK_URL what browsers show?`);
  }
}

/**
 * Whether a person asks. The page says so of what it asks for; nobody moves a hand where it asks by itself, where a browser
 * keeps a connection open, or fetches pictures.
 */
function isUse(request: FastifyRequest): boolean {
  return request.headers["x-maitred-desk"] === "1";
}

/** What the page sends where nobody has used it for a minute. */
const IDLE = "idle";

const ROLE_OF: Readonly<Record<string, Role>> = { read: "viewer", review: "moderator", operate: "operator" };

async function ofToken(given: string, address: string, deps: AccessDeps, limits: Limits): Promise<Identity> {
  const bearer = bearerOf(`Bearer ${given.trim()}`);
  await limits.checkAttempt(address, given);
  const stored = bearer && (await deps.findToken(bearer.id));
  if (!bearer || !stored || !isSecret(bearer.token, stored.hash)) {
    await limits.recordFailure(address, given);
    throw new HttpProblem(401, `there is no such token; ${HOW}`);
  }
  await limits.consumeToken(stored.id, bearer.token);
  const roles = stored.scopes.flatMap((scope) => ROLE_OF[scope] ?? []);
  if (roles.length > 0) return { subject: `token:${stored.id}`, name: stored.name, roles };
  throw new HttpProblem(
    403,
    "the token has none of the scopes read, review and operate, which the desk needs",
  );
}

async function ofLink(code: string, address: string, deps: AccessDeps, limits: Limits): Promise<Identity> {
  await limits.checkAttempt(address, code);
  const who = deps.redeem(code, address);
  if (who) return who;
  await limits.recordFailure(address, code);
  throw new HttpProblem(
    401,
    `the link was used, or is too old: maitred up prints a new one when it starts. Or sign in with a token; ${HOW}`,
  );
}

/** What a cookie is called. Browsers tell the hosts of cookies apart, and not their ports, of which each may have a desk. */
export function cookieName(settings: AccessSettings, request: FastifyRequest, of = "maitred"): string {
  const port = settings.deskUrl === "" ? request.port : new URL(settings.deskUrl).port;
  const name = port ? `${of}-${port}` : of;
  return isSecure(settings, request) ? `__Host-${name}` : name;
}

const HOW =
  "maitred token create --scopes SCOPES NAME makes one, SCOPES being some of review, operate and read";
