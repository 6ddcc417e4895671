import type { Label } from "../src/evaluate/labelled.ts";
import type { Scores } from "../src/photo.ts";

/** A label of a photo that stands for itself, and of which nobody said anything but this. */
export function labelled(file: string, about: Partial<Label> = {}): Label {
  const none = {
    category: null,
    human: null,
    hands: false,
    small: false,
    kind: null,
    source: null,
  };
  return { file, path: `/photos/${file}`, ...none, ...about };
}

/** Of four categories; the others share what is left. */
export function scored(category: string, score: number, human: number): Scores {
  const names = ["food", "ambience", "menu", "other"];
  const rest = (1 - score) / (names.length - 1);
  return {
    categories: Object.fromEntries(names.map((name) => [name, name === category ? score : rest])),
    human,
  };
}
