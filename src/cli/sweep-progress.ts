import type { Totals } from "../intake/sweep.ts";
import { counted } from "./plural.ts";
import type { Result, Target } from "./sweep-bucket.ts";
import { sayStatus, type Terminal, wipeStatus } from "./terminal.ts";

interface SweepProgress {
  step(totals: Totals, cursor: string): void;
  say(text: string): void;
  stop(): void;
}

/** How far a sweep is: one line that is drawn anew on a terminal, a line now and then elsewhere. */
export function createSweepProgress(terminal: Terminal, { bucket, prefix }: Target): SweepProgress {
  const name = `${bucket}/${prefix}`;
  const begun = performance.now();
  let first: number | undefined;
  let last = performance.now();
  return {
    step(totals, cursor) {
      // one that goes on counts from where it began
      first ??= totals.listed;
      const now = performance.now();
      if (now - last < (terminal.columns > 0 ? DRAW_MS : SAY_MS)) return;
      last = now;
      const rate = ((totals.listed - first) / (now - begun)) * 1_000;
      sayStatus(
        terminal,
        `${name}  ${totals.listed} keys, ${rate.toFixed(0)}/s  ${totalsOf(totals)}  at ${JSON.stringify(cursor)}`,
      );
    },
    say(text) {
      wipeStatus(terminal);
      terminal.say(`${name}: ${text}\n`);
    },
    stop: () => wipeStatus(terminal),
  };
}

export function describe(result: Result): string[] {
  const { bucket, prefix, listed, seconds, dryRun, stopped, samples, unordered } = result;
  const lines = [
    `${bucket}/${prefix}: ${counted(listed, "photo")} listed in ${seconds.toFixed(1)} s; ${totalsOf(result)}`,
  ];
  if (unordered) {
    const order = "elsewhere than in the order of their bytes, and were looked at one by one";
    lines.push(`${unordered.keys} keys came ${order}, such as ${JSON.stringify(unordered.such)}`);
  }
  if (dryRun) lines.push("nothing was changed: --dry-run");
  for (const [what, keys] of Object.entries(samples ?? {})) {
    for (const key of keys) lines.push(`  ${what}  ${JSON.stringify(key)}`);
  }
  if (stopped) lines.push(`not finished: ${stopped}`);
  return lines;
}

function totalsOf({ known, missed, gone, young, unclear }: Totals): string {
  return `known ${known}  missed ${missed}  gone ${gone}  young ${young}  unclear ${unclear}`;
}

const DRAW_MS = 200;
const SAY_MS = 10_000;
