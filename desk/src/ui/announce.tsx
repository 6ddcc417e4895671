import { signal } from "@preact/signals";

const said = signal("");

/** Says it to those who listen to the page instead of looking at it. */
export function announce(words: string): void {
  // the same words twice are said twice only if the text changes
  said.value = said.peek() === words ? `${words}\u00a0` : words;
}

export function Announcer() {
  return (
    <div class="unseen" role="status" aria-live="polite">
      {said}
    </div>
  );
}
