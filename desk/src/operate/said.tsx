import type { Act } from "./act.ts";

/** What came of an act, next to what did it. */
export function Said({ act: { said, problem } }: { act: Act }) {
  if (problem) {
    return (
      <p class="problem small" role="alert">
        {problem}
      </p>
    );
  }
  return said ? <p class="small soft">{said}</p> : null;
}
