import { signal } from "@preact/signals";
import { announce } from "./announce.tsx";

/** What is said beside buttons where a second click was just left out; "" where none was. */
export const leftOut = signal("");

let timer: ReturnType<typeof setTimeout> | undefined;

/** A double click is one press: what its second click would be of came there just then, and nobody has looked at it. */
export function once(act: () => void): (event: MouseEvent) => void {
  return ({ detail }) => {
    if (detail < 2) return act();
    // whoever meant another press is not to believe that it counted
    leftOut.value = TWICE;
    announce(TWICE);
    clearTimeout(timer);
    timer = setTimeout(() => {
      leftOut.value = "";
    }, SAID_MS);
  };
}

const TWICE = "A double click counts once";
const SAID_MS = 2_000;
