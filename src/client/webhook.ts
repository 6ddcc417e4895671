import { timingSafeEqual } from "node:crypto";
import { sign } from "../signature.ts";
import type { Photo } from "./client.ts";

/** A photo as it was when something became of it. */
export interface ChangedPhoto extends Omit<Photo, "history" | "registeredAt" | "decidedAt"> {
  /** Of two messages on one photo, the one with the higher number is the later, in whichever order they come. */
  sequence: number;
  /** What identifies the policy that gave the verdict; null where a moderator did. */
  policy: string | null;
  /** null while its state is pending. */
  decidedAt: string | null;
}

/** What a photo that is forgotten is named by; there is nothing else left of it. */
export interface ForgottenPhoto {
  id: string;
  sequence: number;
  bucket: string;
  key: string;
}

/**
 * What a webhook says.
 *   photo.verdict    it has a verdict: its first, another, it is current again, or another listing, uploader or claim was told of it
 *   photo.failed     it could not be judged
 *   photo.withdrawn  it was removed, or another version of its object took its place: `current` is false; or its verdict was
 *                    taken back, and it waits for one again: its `state` is pending
 *   photo.forgotten  everything of it is erased: erase what you have of it
 *   maitred.test     nothing; somebody wanted to know whether messages arrive
 */
export type WebhookMessage = { timestamp: string } & (
  | { type: "photo.verdict" | "photo.failed" | "photo.withdrawn"; data: ChangedPhoto }
  | { type: "photo.forgotten"; data: ForgottenPhoto }
  | { type: "maitred.test"; data: Record<string, never> }
);

/** That a request is no message of maitred's, or not of now. Answer it with 400 or 401. */
export class WebhookError extends Error {
  override readonly name: string = WebhookError.name;
}

export interface VerifyOptions {
  /** How far its time may be from now, in seconds; by default 300. What is older may be a copy that somebody kept. */
  toleranceS?: number;
  /** Milliseconds since 1970; for tests. */
  now?: number;
}

/**
 * Checks that a webhook comes from maitred and was sent just now, and returns what it says.
 *
 * @param body as it came, before anybody parsed it: of JSON that was parsed and written again the signature differs.
 * @param headers of the request: of `node:http`, express or fastify, or a `Headers`.
 * @param secrets `whsec_…`; several while a key is rotated.
 * @throws {WebhookError} where a header is missing, the time is too far from now, no signature is right, a secret is none, or the body
 *   was parsed.
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  secrets: string | readonly string[],
  { toleranceS = 300, now = Date.now() }: VerifyOptions = {},
): WebhookMessage {
  if (typeof body !== "string" && !(body instanceof Uint8Array)) {
    throw new WebhookError(
      "body: expected it as it came, as a string or bytes: it was parsed, or never read",
    );
  }
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const given = header(headers, "webhook-signature").split(" ");
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookError("webhook-timestamp: expected seconds since 1970");
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= toleranceS)) {
    throw new WebhookError(`webhook-timestamp: expected one within ${toleranceS} seconds of now`);
  }
  const keys = [secrets].flat();
  if (keys.some((key) => !key || Buffer.from(key.replace(/^whsec_/, ""), "base64").length === 0)) {
    throw new WebhookError("secrets: expected whsec_ and base64");
  }
  const right = sign(keys, id, Number(timestamp), body).split(" ");
  // each is compared with each, so that the time it takes tells nothing of which
  const matches = right.flatMap((one) => given.map((other) => isSame(one, other)));
  if (keys.length === 0 || !matches.includes(true))
    throw new WebhookError("webhook-signature: none is right");
  const text = typeof body === "string" ? body : Buffer.from(body).toString();
  return JSON.parse(text) as WebhookMessage;
}

function header(
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  name: string,
): string {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value === "string" && value !== "") return value;
  throw new WebhookError(`${name}: expected this header once`);
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
