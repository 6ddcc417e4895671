import type { IncomingHttpHeaders } from "node:http";
import { EventError } from "../errors.ts";

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

/**
 * Whether the message will prove itself by its signature, once it is here.
 *
 * @throws {EventError} EVENT_REFUSED where nobody who may send one is heard.
 */
export function isSignedMessage(
  proofs: readonly Proof[],
  headers: IncomingHttpHeaders,
  { hearsSns }: ExternalSenders,
): boolean {
  if (!proofs.includes("signature") || isRawDelivery(headers)) return false;
  if (hearsSns) return true;
  throw new EventError("EVENT_REFUSED", "no topic of SNS is heard: MAITRED_SNS_TOPICS names those that are");
}

/** What may be an OIDC token; undefined where it is none. */
export function jwtOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization ?? "")?.[1];
}

/** Whether SNS left its envelope off, and with it the signature. */
export function isRawDelivery(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return headers["x-amz-sns-rawdelivery"] === "true";
}
