import type { Readable } from "node:stream";
import { ConfigError } from "./errors.ts";

/**
 * Lines of a text in UTF-8 and their numbers, from 1, without those that are empty and the mark that some programs begin a file
 * with. In constant memory: the text may have more characters than a string can.
 *
 * @param at what the text is called in errors.
 * @throws {ConfigError} for a line that is too long.
 */
export async function* linesOf(bytes: Readable, at: string): AsyncGenerator<[number: number, line: string]> {
  let rest: string | undefined;
  let number = 0;
  bytes.setEncoding("utf8");
  // not by readline, for which newer versions of Node end a line at more than its feed
  for await (const chunk of bytes) {
    const text: string = rest === undefined ? withoutMark(chunk as string) : rest + chunk;
    const lines = text.split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      number++;
      if (line.length > MAX_LINE) throw tooLong(at, number);
      if (line.trim() !== "") yield [number, line];
    }
    if (rest.length > MAX_LINE) throw tooLong(at, number + 1);
  }
  if (rest?.trim()) yield [number + 1, rest];
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

/** Of a list of keys, which have at most 1,024 bytes, or of labels: what is so long is neither, and would be held in memory as a whole. */
export const MAX_LINE = 1_000_000;
