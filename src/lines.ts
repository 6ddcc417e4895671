import { isUtf8 } from "node:buffer";
import type { Readable } from "node:stream";
import { ConfigError } from "./errors.ts";

/**
 * Lines of a text in UTF-8 and their numbers, from 1, without those that are empty and the mark that some programs begin a file
 * with; and whether each is UTF-8, for what is not is read as replacement characters. In constant memory: the text may have more
 * characters than a string can.
 *
 * @param at what the text is called in errors.
 * @throws {ConfigError} for a line that is too long.
 */
export async function* linesOf(
  bytes: Readable,
  at: string,
): AsyncGenerator<[number: number, line: string, isText: boolean]> {
  let rest = Buffer.alloc(0);
  let number = 0;
  function lineOf(raw: Buffer): [number, string, boolean] {
    const text = raw.toString();
    const line = ++number === 1 ? withoutMark(text) : text;
    if (line.length > MAX_LINE) throw tooLong(at, number);
    return [number, line, isUtf8(raw)];
  }
  // not by readline, for which newer versions of Node end a line at more than its feed
  for await (const chunk of bytes) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    let begin = 0;
    for (let end = rest.indexOf(FEED); end >= 0; end = rest.indexOf(FEED, begin)) {
      const line = lineOf(rest.subarray(begin, end));
      begin = end + 1;
      if (line[1].trim() !== "") yield line;
    }
    rest = rest.subarray(begin);
    // a character has three bytes at most, or four and counts as two
    if (rest.length > 3 * MAX_LINE) throw tooLong(at, number + 1);
  }
  const last = lineOf(rest);
  if (last[1].trim() !== "") yield last;
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
const FEED = 0x0a;
