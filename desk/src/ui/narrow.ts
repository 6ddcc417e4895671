import { type ReadonlySignal, signal } from "@preact/signals";

/** Whether there is no room for one thing beside another. The stylesheets ask for the same width. */
export const narrow = matches("(max-width: 720px)");
/** Whether there is little room for one thing above another; again the stylesheets ask for the same. */
export const short = matches("(max-height: 480px)");
/** Whether a photo beside the grid has more pixels of the screen than a medium picture has of its own. */
export const roomy = matches("(min-width: 1400px), (min-resolution: 1.5dppx)");

function matches(media: string): ReadonlySignal<boolean> {
  const query = matchMedia(media);
  const now = signal(query.matches);
  query.addEventListener("change", ({ matches }) => {
    now.value = matches;
  });
  return now;
}
