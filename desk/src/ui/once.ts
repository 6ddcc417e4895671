import { leaveOut } from "./left-out.ts";

/** A double click is one press: what its second click would be of came there just then, and nobody has looked at it. */
export function once(act: () => void): (event: MouseEvent) => void {
  return ({ detail }) => (detail < 2 ? act() : leaveOut(TWICE, SAID_MS));
}

const TWICE = "A double click counts once";
const SAID_MS = 2_000;
