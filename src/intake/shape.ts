import { z } from "zod";
import { EventError } from "../errors.ts";

/** S3 has no longer keys, and the tables index them. */
export const MAX_KEY_BYTES = 1_024;

/** Text that a table can hold and index: Postgres takes no zero character and no half of a character pair. */
export function fits(text: string, maxBytes: number): boolean {
  return text !== "" && !text.includes("\0") && text.isWellFormed() && Buffer.byteLength(text) <= maxBytes;
}

export const text = (maxBytes: number) =>
  z.string().refine((value) => fits(value, maxBytes), `expected 1 to ${maxBytes} bytes of text`);
export const bucketName = text(255);
/** Version ids and etags; both may be empty, or null. */
export const versionText = z
  .string()
  .refine((value) => value === "" || fits(value, 1_000), "expected at most 1000 bytes of text")
  .nullish();

/**
 * The value as the schema gives it.
 *
 * @throws {EventError} EVENT_INVALID, naming the first place that is not as it should be.
 */
export function readShape<T>(schema: z.ZodType<T>, value: unknown, expected: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = deepest(result.error.issues);
  throw new EventError("EVENT_INVALID", path.length > 0 ? `${placeOf(path)}: ${message}` : expected);
}

interface Found {
  path: PropertyKey[];
  message: string;
}

/** Of a union, the alternative that fitted best is the one that was meant: its mistake lies deepest. */
function deepest(issues: readonly z.core.$ZodIssue[]): Found {
  const found = issues.flatMap((issue): Found[] =>
    issue.code === "invalid_union"
      ? issue.errors.map((branch) => {
          const inner = deepest(branch);
          return { path: [...issue.path, ...inner.path], message: inner.message };
        })
      : [{ path: issue.path, message: issue.message }],
  );
  return found.reduce((best, each) => (each.path.length > best.path.length ? each : best), {
    path: [],
    message: "",
  });
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : `${index ? "." : ""}${String(part)}`))
    .join("");
}
