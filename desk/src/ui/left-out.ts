import { signal } from "@preact/signals";
import { announce } from "./announce.tsx";

/** Why what was just pressed did nothing, or less than was meant, as it stands beside the buttons for a while; "" where nothing was. */
export const leftOut = signal("");

let timer: ReturnType<typeof setTimeout> | undefined;

/** Says it to those who look at the page, and to those who listen to it: whoever pressed is not to believe that it counted. */
export function leaveOut(words: string, ms = 5_000): void {
  leftOut.value = words;
  announce(words);
  clearTimeout(timer);
  timer = setTimeout(() => {
    leftOut.value = "";
  }, ms);
}
