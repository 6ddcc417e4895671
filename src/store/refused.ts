import { ConfigError } from "../errors.ts";

/** What the schema's own functions raise: there is no such thing; it stands in the way; it has changed meanwhile. */
type Refusal = "MD404" | "MD409" | "MD412";

/** Whether a function refused a statement for one of these reasons. */
export function isRefused(thrown: unknown, ...reasons: readonly Refusal[]): thrown is Error {
  return reasons.some((reason) => (thrown as { code?: unknown }).code === reason);
}

/** For `catch`, where whatever a function refuses is the caller's to mend: its message, and `hint` behind it. */
export function refused(cause: unknown, hint = ""): never {
  if (!isRefused(cause, "MD404", "MD409", "MD412")) throw cause;
  throw new ConfigError(cause.message + hint, { cause });
}
