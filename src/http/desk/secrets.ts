import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** What a browser keeps of its session: the id, which is no secret, and 256 random bits, which are. */
export interface SessionSecret {
  id: string;
  secret: string;
}

/** Makes the secret of a new session. What is stored of it is its hash. */
export function createSessionSecret(): SessionSecret & { hash: Buffer; cookie: string } {
  const id = randomBytes(6).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  return { id, secret, hash: hashOf(secret), cookie: `${id}_${secret}` };
}

export function readCookie(cookie: string | undefined): SessionSecret | undefined {
  const [, id, secret] = /^([0-9a-f]{12})_([\w-]{43})$/.exec(cookie ?? "") ?? [];
  return id && secret ? { id, secret } : undefined;
}

/** Whether it is the secret with this hash, in a time that tells nothing of the answer. */
export function isSecret(secret: string, hash: Uint8Array): boolean {
  const own = hashOf(secret);
  return hash.length === own.length && timingSafeEqual(own, hash);
}

/**
 * Signs a text for one session alone: the key is made from the session's secret, so it ends with the session, and every
 * process that serves the session has it.
 */
export function sign(secret: string, text: string): string {
  const key = createHash("sha256").update(`links ${secret}`).digest();
  return createHmac("sha256", key).update(text).digest("base64url");
}

export function isSigned(secret: string, text: string, signature: string): boolean {
  const [own, given] = [Buffer.from(sign(secret, text)), Buffer.from(signature)];
  return own.length === given.length && timingSafeEqual(own, given);
}

/** Of 256 random bits one round is enough: there is no dictionary of them. */
function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
