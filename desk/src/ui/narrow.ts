import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 720px)");
/** Whether there is no room for one thing beside another. The stylesheets ask for the same width. */
export const narrow = signal(query.matches);
query.addEventListener("change", ({ matches }) => {
  narrow.value = matches;
});
