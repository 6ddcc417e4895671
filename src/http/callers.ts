import type { IncomingHttpHeaders } from "node:http";
import type { FastifyRequest } from "fastify";
import { EventError } from "../errors.ts";
import type { Limits } from "./limits.ts";
import { HttpProblem } from "./problem.ts";
import type { ApiDeps, Route } from "./route.ts";
import { isSecret } from "./secrets.ts";
import { basicOf, bearerOf } from "./tokens.ts";

/**
 * How a caller may prove itself to a route: a token of ours as Bearer, or as the password of Basic; a message that is
 * signed itself; or an OIDC token of Pub/Sub.
 */
export type Proof = "token" | "password" | "signature" | "oidc";

/** What tells that a message of others is theirs. */
export interface ExternalSenders {
  /** Whether any topic of SNS is heard. */
  hearsSns: boolean;
  /** What SNS published, verified, and as SNS names it; undefined where the message was about the subscription itself. */
  openSns(body: unknown): Promise<{ id: string; text: string } | undefined>;
  /** @throws {EventError} EVENT_REFUSED unless this topic of SNS is heard. */
  checkTopic(topic: unknown): void;
  /** The account that Pub/Sub pushes as. */
  openPubSub(jwt: string): Promise<string>;
}

export interface Caller {
  /** For the log: the id of the token, or who sent the message. */
  id: string;
  external: boolean;
}

/**
 * Says who asks, by a proof that the route takes, also where they may not.
 *
 * @throws {HttpProblem} 401 or 403, and 429 for one who asks or fails too often.
 * @throws {EventError} EVENT_REFUSED where nobody is heard who may send such a message.
 */
export async function authenticate(
  { scope, proofs = ["token"] }: Route,
  request: FastifyRequest,
  deps: ApiDeps,
  limits: Limits,
  named: (caller: Caller) => void,
): Promise<void> {
  if (isSignedMessage(proofs, request.headers, deps.senders)) {
    named({ id: "sns", external: true });
    return limits.consumeAddress(request.ip);
  }
  const { authorization } = request.headers;
  const jwt = proofs.includes("oidc") ? jwtOf(authorization) : undefined;
  if (jwt) return checkPubSub(jwt, request.ip, deps, limits, named);
  const basic = proofs.includes("password");
  const bearer = bearerOf(authorization) ?? (basic ? basicOf(authorization) : undefined);
  if (bearer) await limits.checkAttempt(request.ip, bearer.token);
  const stored = bearer && (await deps.findToken(bearer.id));
  if (!bearer || !stored || !isSecret(bearer.token, stored.hash)) {
    if (bearer) await limits.recordFailure(request.ip, bearer.token);
    const given = bearer !== undefined || /^Bearer +\S/i.test(authorization ?? "");
    const why = given
      ? "there is no such token here, or it was revoked"
      : "expected the header Authorization: Bearer TOKEN";
    const how = `${why}; maitred token create makes one`;
    // SNS sends a password only once it is asked for one
    throw new HttpProblem(401, how, { "www-authenticate": basic ? 'Basic realm="maitred"' : "Bearer" });
  }
  named({ id: stored.id, external: false });
  await limits.consumeToken(stored.id, bearer.token);
  if (!stored.scopes.includes(scope))
    throw new HttpProblem(403, `the token ${stored.id} lacks the scope ${scope}`);
}

async function checkPubSub(
  jwt: string,
  address: string,
  { senders }: ApiDeps,
  limits: Limits,
  named: (caller: Caller) => void,
): Promise<void> {
  await limits.checkAttempt(address, jwt);
  const account = await senders.openPubSub(jwt).catch(async (thrown: unknown) => {
    // of everything else the token is not at fault
    if (thrown instanceof HttpProblem) await limits.recordFailure(address, jwt);
    throw thrown;
  });
  named({ id: account, external: true });
  await limits.consumeToken(account, jwt);
}

/** Whether SNS left its envelope off, and with it the signature. */
export function isRawDelivery(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return headers["x-amz-sns-rawdelivery"] === "true";
}

/**
 * Whether the message will prove itself by its signature, once it is here.
 *
 * @throws {EventError} EVENT_REFUSED where nobody who may send one is heard.
 */
function isSignedMessage(
  proofs: readonly Proof[],
  headers: IncomingHttpHeaders,
  { hearsSns }: ExternalSenders,
): boolean {
  if (!proofs.includes("signature") || isRawDelivery(headers)) return false;
  if (hearsSns) return true;
  throw new EventError("EVENT_REFUSED", "no topic of SNS is heard: MAITRED_SNS_TOPICS names those that are");
}

/** What may be an OIDC token; undefined where it is none. */
function jwtOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization ?? "")?.[1];
}
