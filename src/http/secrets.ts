import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** A secret, and what names it, which is none. */
interface Secret {
  id: string;
  secret: string;
}

/** 256 random bits. They are shown once; what is stored of them is their hash. */
export function createSecret(): Secret {
  return { id: randomBytes(6).toString("hex"), secret: randomBytes(32).toString("base64url") };
}

/** Of 256 random bits one round is enough: there is no dictionary of them. */
export function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** What a secret is remembered by, where many are looked through. */
export function nameOf(secret: string): string {
  return hashOf(secret).toString("base64");
}

/** Whether it is the secret with this hash, in a time that tells nothing of the answer. */
export function isSecret(secret: string, hash: Uint8Array): boolean {
  return isSame(hashOf(secret), hash);
}

/** What a browser keeps of its session. */
export function cookieOf({ id, secret }: Secret): string {
  return `${id}_${secret}`;
}

export function readCookie(cookie: string | undefined): Secret | undefined {
  const [, id, secret] = /^([0-9a-f]{12})_([\w-]{43})$/.exec(cookie ?? "") ?? [];
  return id && secret ? { id, secret } : undefined;
}

/**
 * Signs a text for one session alone: the key is made from the session's secret, so it ends with the session, and every
 * process that serves the session has it.
 */
export function sign(secret: string, text: string): string {
  return createHmac("sha256", hashOf(`links ${secret}`))
    .update(text)
    .digest("base64url");
}

export function isSigned(secret: string, text: string, signature: string): boolean {
  return isSame(Buffer.from(sign(secret, text)), Buffer.from(signature));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
