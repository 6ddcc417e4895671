import { z } from "zod";
import { EventError } from "../errors.ts";
import { isStorable } from "../text.ts";

/** S3 has no longer keys, and the tables index them. */
export const MAX_KEY_BYTES = 1_024;

/** Text that a table can hold and index. */
export function fits(text: string, maxBytes: number): boolean {
  return text !== "" && isStorable(text) && Buffer.byteLength(text) <= maxBytes;
}

/** Whether a bucket may be called so: in the path of a request anything else would lead to another bucket, or nowhere. */
export function isBucket(name: string): boolean {
  return fits(name, 255) && !name.includes("/") && name !== "." && name !== "..";
}

export const text = (maxBytes: number) =>
  z
    .string()
    .refine((value) => fits(value, maxBytes), `expected 1 to ${maxBytes} bytes of text`)
    .meta(lengthOf(1, maxBytes));
export const bucketName = z
  .string()
  .refine(
    isBucket,
    'expected 1 to 255 bytes of text without "/", and not . or ..; photos of folders go by maitred enqueue',
  )
  .meta({ ...lengthOf(1, 255), pattern: "^(?!\\.{1,2}$)[^\\u0000/]*$" });
/** Version ids and etags, of which a request has each in a header or in its address; both may be empty, or null. */
export const versionText = z
  .string()
  .regex(/^[\x21-\x7e]{0,1000}$/, "expected at most 1000 visible ASCII characters")
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
