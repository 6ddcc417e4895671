import type { z } from "zod";

/** What is wrong with a value and where, in our words. */
export interface Mistake {
  path: PropertyKey[];
  message: string;
}

/** For the `error` of a parse: what was expected, and what came. What a schema says itself comes before it. */
export const expected: z.core.$ZodErrorMap = (issue) => {
  const got = `, got ${shown(issue.input)}`;
  switch (issue.code) {
    case "invalid_type":
      return `expected ${KINDS[issue.expected] ?? issue.expected}${got}`;
    case "invalid_value":
      return `expected ${issue.values.map(String).join(" or ")}${got}`;
    case "too_big":
      return `expected at most ${issue.maximum}${UNITS[issue.origin] ?? ""}${got}`;
    case "too_small":
      return `expected at least ${issue.minimum}${UNITS[issue.origin] ?? ""}${got}`;
    default:
      return undefined;
  }
};

/** Each place of its own, also of names that nobody knows. */
export function mistakesOf(issue: z.core.$ZodIssue): Mistake[] {
  const { path, message } = issue;
  if (issue.code !== "unrecognized_keys") return [{ path, message }];
  return issue.keys.map((key) => ({ path: [...path, key], message: "there is no such name" }));
}

/** A value in a message: short, and of what holds others only what it is. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};
const UNITS: Readonly<Record<string, string>> = { string: " characters", array: " of them" };
const LONGEST = 60;
