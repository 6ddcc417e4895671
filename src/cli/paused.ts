import { LANES, type Lane } from "../photo.ts";
import { type LaneState, readLanes, type Steering } from "../wiring/lanes.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Such as `paused by ann at 2026-01-31 08:30 UTC: the store is moved`. */
export function pausedWords({ pausedBy }: Pick<LaneState, "pausedBy">): string {
  if (!pausedBy) return "paused, and nobody wrote down who did it";
  const { who, at, why } = pausedBy;
  return `paused by ${who} at ${at.toISOString().slice(0, 16).replace("T", " ")} UTC: ${why}`;
}

/** Tells a person which of these lanes are paused, so that nobody waits for what is not taken. */
export async function sayPaused(
  terminal: Terminal,
  steering: Steering,
  lanes: readonly Lane[] = LANES,
): Promise<void> {
  for (const each of await readLanes(steering)) {
    if (!each.paused || !lanes.includes(each.lane)) continue;
    const words = printable(pausedWords(each));
    terminal.say(
      `the lane ${each.lane} is ${words}; nothing of it is judged until maitred queue resume ${each.lane}\n`,
    );
  }
}
