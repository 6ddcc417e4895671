import { z } from "zod";
import { EventError } from "../errors.ts";

/** S3 has no longer keys, and the tables index them. */
export const MAX_KEY_BYTES = 1_024;

/** Text that a table can hold and index: Postgres takes no zero character and no half of a character pair. */
export function fits(text: string, maxBytes: number): boolean {
  return text !== "" && !text.includes("\0") && text.isWellFormed() && Buffer.byteLength(text) <= maxBytes;
}

export const text = (maxBytes: number) =>
  z
    .string()
    .refine((value) => fits(value, maxBytes), `expected 1 to ${maxBytes} bytes of text`)
    .meta(lengthOf(1, maxBytes));
export const bucketName = text(255);
/** Version ids and etags; both may be empty, or null. */
export const versionText = z
  .string()
  .refine((value) => value === "" || fits(value, 1_000), "expected at most 1000 bytes of text")
  .meta(lengthOf(0, 1_000))
  .nullish();

/** What a JSON schema can say of such text: it counts characters, of which some are more than a byte. */
function lengthOf(minLength: number, maxLength: number): Record<string, unknown> {
  return { minLength, maxLength, pattern: "^[^\\u0000]*$" };
}

/**
 * The value as the schema gives it.
 *
 * @param where what is said before the place of a mistake.
 * @throws {EventError} EVENT_INVALID, naming the first place that is not as it should be.
 */
export function readShape<T>(schema: z.ZodType<T>, value: unknown, expected: string, where = ""): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message, whole } = deepest(result.error.issues);
  if (whole) throw new EventError("EVENT_INVALID", where + expected);
  throw new EventError("EVENT_INVALID", where + (path.length > 0 ? `${placeOf(path)}: ${message}` : message));
}

interface Found {
  path: PropertyKey[];
  message: string;
  /** It is something else altogether, of which nothing is to be said in detail. */
  whole: boolean;
}

/** Of a union, the alternative that fitted best is the one that was meant: its mistake lies deepest. */
function deepest(issues: readonly z.core.$ZodIssue[]): Found {
  const found = issues.flatMap((issue): Found[] => {
    const { path, message, code } = issue;
    if (code !== "invalid_union")
      return [{ path, message, whole: path.length === 0 && code === "invalid_type" }];
    return issue.errors.map((branch) => {
      const inner = deepest(branch);
      return { ...inner, path: [...path, ...inner.path], whole: inner.whole && path.length === 0 };
    });
  });
  const none: Found = { path: [], message: "", whole: true };
  return found.reduce((best, each) => {
    const deeper = each.path.length > best.path.length;
    return deeper || (best.whole && !each.whole) ? each : best;
  }, none);
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : `${index ? "." : ""}${String(part)}`))
    .join("");
}
