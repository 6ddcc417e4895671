import { z } from "zod";
import { EventError } from "../errors.ts";
import { expected, type Mistake, mistakesOf, shown } from "../expected.ts";
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
 * @param where what is said before the places of mistakes.
 * @throws {EventError} EVENT_INVALID, naming each place that is not as it should be.
 */
export function readShape<T>(schema: z.ZodType<T>, value: unknown, whole: string, where = ""): T {
  const { success, data, error } = schema.safeParse(value, { error: expected });
  if (success) return data;
  const found = mistakesIn(error.issues);
  if (found.every(isWhole)) throw new EventError("EVENT_INVALID", `${where}${whole}, got ${kindOf(value)}`);
  const places = found.map(({ path, message }) => [placeOf(path), message].filter(Boolean).join(": "));
  const more = places.length > MOST ? [`and ${places.length - MOST} more`] : [];
  throw new EventError("EVENT_INVALID", where + [...places.slice(0, MOST), ...more].join("; "));
}

interface Found extends Mistake {
  /** What stands in that place is something else altogether, of which nothing is to be said in detail. */
  other: boolean;
}

function isWhole({ path, other }: Found): boolean {
  return other && path.length === 0;
}

/** Of a union, those of the alternative that fitted best, which was meant: they lie deepest. */
function mistakesIn(issues: readonly z.core.$ZodIssue[]): Found[] {
  return issues.flatMap((issue): Found[] => {
    if (issue.code !== "invalid_union") {
      const other = OTHER.has(issue.code) && (!("origin" in issue) || issue.origin === "array");
      return mistakesOf(issue).map((mistake) => ({ ...mistake, other }));
    }
    const branches = issue.errors.map(mistakesIn);
    const [first = []] = branches;
    const best = branches.reduce((best, each) => (fit(each) > fit(best) ? each : best), first);
    return best.map(({ path, ...rest }) => ({ ...rest, path: [...issue.path, ...path] }));
  });
}

function fit(branch: readonly Found[]): number {
  return Math.max(...branch.map((found) => (isWhole(found) ? -1 : found.path.length)));
}

/** Of text no more, as it may be a secret. */
function kindOf(value: unknown): string {
  return typeof value === "string" ? "text" : shown(value);
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : `${index ? "." : ""}${String(part)}`))
    .join("");
}

const OTHER = new Set(["invalid_type", "too_small", "too_big"]);
/** Mistakes that are told of one by one. */
const MOST = 10;
