import { createReadStream } from "node:fs";

/**
 * Lines of a file and their numbers, from 1, without those that are empty and the mark that some programs begin a file with. The
 * file may have more characters than a string can.
 */
export async function* linesOf(path: string): AsyncGenerator<[number: number, line: string]> {
  // not by readline, for which newer versions of Node end a line at more than its feed
  async function* lines(): AsyncGenerator<string> {
    let rest = "";
    for await (const chunk of createReadStream(path, "utf8")) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      yield* parts;
    }
    yield rest;
  }
  let number = 0;
  for await (const text of lines()) {
    const line = ++number === 1 ? text.replace(/^\ufeff/, "") : text;
    if (line.trim() !== "") yield [number, line];
  }
}
