import { createHmac, randomBytes } from "node:crypto";

/** A new secret as Standard Webhooks writes it: `whsec_` and 256 random bits in base64. */
export function createSecret(): string {
  return PREFIX + randomBytes(32).toString("base64");
}

/**
 * The header `webhook-signature` of Standard Webhooks: one signature a secret, with spaces between.
 *
 * @param timestamp seconds since 1970, as the header `webhook-timestamp` says them.
 * @param body the bytes, or the text, that are sent.
 */
export function sign(
  secrets: readonly string[],
  id: string,
  timestamp: number,
  body: string | Uint8Array,
): string {
  return secrets
    .map((secret) => {
      const hmac = createHmac("sha256", Buffer.from(secret.replace(PREFIX, ""), "base64"));
      return `v1,${hmac.update(`${id}.${timestamp}.`).update(body).digest("base64")}`;
    })
    .join(" ");
}

const PREFIX = "whsec_";
