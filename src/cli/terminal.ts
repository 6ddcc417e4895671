import type { Readable, Writable } from "node:stream";
import { beginning } from "./columns.ts";

/** What a command may touch of the process; tests pass their own. */
export interface Terminal {
  env: Readonly<Record<string, string | undefined>>;
  /** Data: one line on stdout. What could draw on a terminal is written as JSON does, so that JSON stays what it is. */
  print(line: string): void;
  /**
   * For a person: text on stderr. Of what could draw on a terminal, only ends of lines and the escapes that draw one line
   * anew are written as they are: a line with text from outside goes through `printable` before.
   */
  say(text: string): void;
  /** Width of stderr if it is a terminal, which can be drawn upon; 0 otherwise. */
  columns: number;
  /** Width of stdout if it is a terminal; 0 otherwise, where nothing is cut. */
  printColumns?: number;
  stdin: AsyncIterable<Buffer | string>;
}

type Screen = Writable & { isTTY?: boolean; columns?: number };

export function openTerminal({
  env,
  stdout,
  stderr,
  stdin,
}: {
  env: Terminal["env"];
  stdout: Screen;
  stderr: Screen;
  stdin: Readable;
}): Terminal {
  return {
    env,
    print: (line) => void stdout.write(`${printable(line)}\n`),
    say: (text) => void stderr.write(text.replace(DRAWN, (each, own?: string) => own ?? printable(each))),
    columns: widthOf(stderr),
    printColumns: widthOf(stdout),
    stdin,
  };
}

/**
 * Text from outside as a terminal may show it, in one line: what moves the cursor, turns the direction of writing or ends
 * a line is written as JSON writes it. Doing it again changes nothing.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (each) => {
    const quoted = JSON.stringify(each).slice(1, -1);
    return quoted === each ? `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}` : quoted;
  });
}

/** Draws on a terminal how far something is, in place of what was drawn before; what is written next stands on it. */
export function drawStatus({ columns, say }: Terminal, line: string): void {
  if (columns > 0) say(`\r${beginning(printable(line), columns - 1)}\x1b[K\r`);
}

/** The same, and where there is no terminal a line each time. */
export function sayStatus(terminal: Terminal, line: string): void {
  if (terminal.columns > 0) drawStatus(terminal, line);
  else terminal.say(`${line}\n`);
}

/** Takes away what was drawn, for what is to stand there. */
export function wipeStatus(terminal: Terminal): void {
  drawStatus(terminal, "");
}

function widthOf({ isTTY, columns }: Screen): number {
  return isTTY ? (columns ?? 0) : 0;
}

/** Control characters, separators of lines, and marks that turn the direction of writing. */
const UNSAFE = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** The same, with what commands draw with told apart. */
const DRAWN = new RegExp(`(\\x1b\\[K|[\\r\\n])|${UNSAFE.source}`, "gu");
