import { signal } from "@preact/signals";
import { stored } from "./stored.ts";

export const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

/** Read by public/theme.js too, before the page is painted. */
const kept = stored("maitred.theme");

export const theme = signal<Theme>(THEMES.find((each) => each === kept.read()) ?? "system");

export function setTheme(next: Theme): void {
  theme.value = next;
  kept.write(next);
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
}
