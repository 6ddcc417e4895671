import type { DestinationStream } from "pino";
import { printable, type Terminal, wipeStatus } from "./terminal.ts";

interface Entry {
  msg?: string;
  err?: { message: string; code?: unknown };
  [about: string]: unknown;
}

/** Where a log goes that a person reads at a terminal: one sentence for each entry. */
export function sentences(terminal: Terminal): DestinationStream {
  return {
    write(line) {
      // what is drawn there at that moment is drawn again
      wipeStatus(terminal);
      terminal.say(`${printable(sentenceOf(JSON.parse(line)))}\n`);
    },
  };
}

function sentenceOf({ level: _, time: __, pid: ___, msg, err, ...about }: Entry): string {
  const of = Object.entries(about).map(([name, value]) => `${name} ${value}`);
  return [[msg, of.length > 0 && `(${of.join(", ")})`].filter(Boolean).join(" "), err?.message]
    .filter(Boolean)
    .join(": ");
}
