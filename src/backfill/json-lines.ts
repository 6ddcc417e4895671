/** JSON lines, as any program writes them. */
import type { Readable } from "node:stream";
import { z } from "zod";
import { ConfigError } from "../errors.ts";

/** Lines that are not empty, in constant memory. @throws {ConfigError} CONFIG_INVALID for one that is too long. */
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
    "CONFIG_INVALID",
    `${at}: line ${line} is longer than ${most} characters, the most that a line may have`,
  );
}

/** The fields of an object by their names in small letters; undefined where the line is none, or not in UTF-8. */
export function parseLine(line: string): Record<string, string> | undefined {
  if (isMangled(line)) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    const result = z.record(z.string(), z.unknown()).safeParse(value);
    if (!result.success) return undefined;
    return Object.fromEntries(
      Object.entries(result.data).map(([name, field]) => [
        name.toLowerCase(),
        // neither null nor what has parts names anything
        typeof field === "object" ? "" : String(field),
      ]),
    );
  } catch {
    return undefined;
  }
}

/**
 * Whether bytes of it were not UTF-8: what was read in their place names another object than was meant. A key that has
 * this character itself can be named in JSON lines, as \\ufffd.
 */
export function isMangled(text: string): boolean {
  return text.includes("\uFFFD");
}

/** A key has at most 1,024 bytes: what is so long is no list, and would be held in memory as a whole. */
export const MAX_LINE = 1_000_000;
