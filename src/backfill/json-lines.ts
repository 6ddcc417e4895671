/** JSON lines, as any program writes them. */
import { z } from "zod";

/** What a record says, by the names of `fieldName`; or why it cannot be read. */
export type Fields = Record<string, string> | typeof UNREADABLE | typeof ROUNDED;
export const UNREADABLE = "cannot be read";
const ROUNDED = "has a number that JSON rounds: quote it";

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
