import { createHash } from "node:crypto";

/** What a verdict calls the policy that gave it: the same text has the same name everywhere. */
export function policyIdOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
