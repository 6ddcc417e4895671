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
  // not that of the class, which bundlers shorten
  override readonly name: string = "WebhookError";
}

export interface VerifyOptions {
  /** How far its time may be from now, in seconds; by default 300. What is older may be a copy that somebody kept. */
  toleranceS?: number;
  /** Milliseconds since 1970; for tests. */
  now?: number;
}

/**
 * Checks that a webhook comes from maitred and was sent just now, and returns what it says. It asks for nothing but what the web has, so
 * that it runs in Node, in Edge runtimes and elsewhere.
 *
 * @param body as it came, before anybody parsed it: of JSON that was parsed and written again the signature differs.
 * @param headers of the request: of `node:http`, express or fastify, or a `Headers`.
 * @param secrets `whsec_…`; several while a key is rotated.
 * @throws {WebhookError} where a header is missing, the time is too far from now, no signature is right, a secret is none, or the body
 *   was parsed.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  secrets: string | readonly string[],
  { toleranceS = 300, now = Date.now() }: VerifyOptions = {},
): Promise<WebhookMessage> {
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
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const said = joined(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  const right = await Promise.all([secrets].flat().map((secret) => sign(secret, said)));
  // each is compared with each, so that the time it takes tells nothing of which
  const matches = right.flatMap((one) => given.map((other) => isSame(one, other)));
  if (!matches.includes(true)) throw new WebhookError("webhook-signature: none is right");
  return JSON.parse(text) as WebhookMessage;
}

function header(
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  name: string,
): string {
  // frameworks and tests bring a Headers of their own
  const value =
    typeof headers.get === "function"
      ? (headers as Headers).get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value === "string" && value !== "") return value;
  throw new WebhookError(`${name}: expected this header once`);
}

/** One signature of the header `webhook-signature`. */
async function sign(secret: string, said: Uint8Array<ArrayBuffer>): Promise<string> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", keyOf(secret), hmac, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, said));
  return `v1,${btoa(String.fromCharCode(...signature))}`;
}

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  try {
    const key = Uint8Array.from(
      atob(
        secret
          .replace(/^whsec_/, "")
          .replaceAll("-", "+")
          .replaceAll("_", "/"),
      ),
      (byte) => byte.charCodeAt(0),
    );
    if (key.length > 0) return key;
  } catch {
    // no string, or no base64
  }
  throw new WebhookError("secrets: expected whsec_ and base64");
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** In a time that does not tell where they differ. */
function isSame(one: string, other: string): boolean {
  let differ = one.length ^ other.length;
  for (let at = 0; at < one.length; at++) differ |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return differ === 0;
}
