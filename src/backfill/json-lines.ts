/** JSON lines, as any program writes them. */
import type { Readable } from "node:stream";
import { z } from "zod";
import { ConfigError } from "../errors.ts";

/** Lines that are not empty, in constant memory. @throws {ConfigError} for one that is too long. */
export async function* lines(bytes: Readable, at: string): AsyncGenerator<string> {
  let rest = "";
  let number = 1;
  let begun = false;
  bytes.setEncoding("utf8");
  for await (const chunk of bytes) {
    const text = begun ? (chunk as string) : withoutMark(chunk as string);
    begun = true;
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    for (const line of parts) {
      if (line.length > MAX_LINE) throw tooLong(at, number);
      if (line.trim() !== "") yield line;
      number++;
    }
    if (rest.length > MAX_LINE) throw tooLong(at, number);
  }
  if (rest.trim() !== "") yield rest;
}

/** Some programs begin a file with the mark of its encoding, which JSON does not know. */
export function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, "");
}

export function tooLong(at: string, line: number): ConfigError {
  const most = MAX_LINE.toLocaleString("en");
  return new ConfigError(
    `${at}: line ${line} is longer than ${most} characters, the most that a line may have`,
  );
}

/** What a record says, by the names of `fieldName`; or why it cannot be read. */
export type Fields = Record<string, string> | typeof UNREADABLE | typeof ROUNDED;
export const UNREADABLE = "cannot be read";
const ROUNDED = "has a number that JSON rounds: quote it";

/** The fields of an object. */
export function parseLine(line: string): Fields {
  if (isMangled(line)) return UNREADABLE;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return UNREADABLE;
  }
  const result = z.record(z.string(), z.unknown()).safeParse(value);
  if (!result.success) return UNREADABLE;
  const fields: Record<string, string> = {};
  for (const [written, field] of Object.entries(result.data)) {
    const name = fieldName(written);
    // it would name another restaurant, or object
    if (READ.has(name) && typeof field === "number" && Math.abs(field) > Number.MAX_SAFE_INTEGER)
      return ROUNDED;
    // neither null nor what has parts names anything
    fields[name] = typeof field === "object" ? "" : String(field);
  }
  return fields;
}

/** Our name for a field, however who wrote the list spells it: as S3 Inventory does, the AWS CLI or a table in SQL. */
export function fieldName(written: string): string {
  const bare = written.trim().toLowerCase().replaceAll(/[ _-]/g, "");
  return OURS.get(bare) ?? bare;
}

const OURS = new Map([
  ["versionid", "version"],
  ["islatest", "latest"],
  ["isdeletemarker", "marker"],
]);
const READ = new Set(["key", "bucket", "version", "etag", "listing", "uploader", "claimed"]);

/**
 * Whether bytes of it were not UTF-8: what was read in their place names another object than was meant. A key that has
 * this character itself can be named in JSON lines, as \\ufffd.
 */
export function isMangled(text: string): boolean {
  return text.includes("\uFFFD");
}

/** A key has at most 1,024 bytes: what is so long is no list, and would be held in memory as a whole. */
export const MAX_LINE = 1_000_000;
