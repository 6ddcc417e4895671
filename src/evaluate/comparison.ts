import { isIn, type Judged } from "./effect.ts";
import { asMistake, type Mistake } from "./mistakes.ts";
import { comparePaired, type PairedComparison } from "./paired-comparison.ts";

/** A photo of which two models say different things, and which of them is right where somebody said what is. */
export interface Difference {
  file: string;
  path: string;
  label: Mistake["label"];
  first: Mistake["said"];
  second: Mistake["said"];
  /** What they differ in: the category, or whether it would be shown. */
  category: boolean;
  shown: boolean;
  /** In each that they differ in, the one that is right: null where nobody said, or neither is. */
  right: { category: "first" | "second" | null; shown: "first" | "second" | null };
}

export interface Comparison {
  /** Photos that both models judged. */
  photos: number;
  /** McNemar's test, the first model as the active one. */
  duels: PairedComparison[];
  differences: Difference[];
}

/**
 * Compares what two models and their policy make of the same photos.
 *
 * @param first, second in the order of their labels; a photo that only one has counts for neither.
 * @param review the policy's threshold from which on a human is held back.
 */
export function compare(first: readonly Judged[], second: readonly Judged[], review: number): Comparison {
  const others = new Map(second.map((judged) => [judged.label, judged]));
  const pairs = first.flatMap((one) => {
    const other = others.get(one.label);
    return other ? [{ one, other }] : [];
  });
  return {
    photos: pairs.length,
    duels: comparePaired(
      pairs.map(({ one }) => one.label),
      pairs.map(({ one }) => one.scores),
      pairs.map(({ other }) => other.scores),
      review,
    ),
    differences: pairs
      .map(({ one, other }) => differenceOf(one, other))
      .filter(({ category, shown }) => category || shown)
      .sort((a, b) => weight(b) - weight(a) || (a.file < b.file ? -1 : 1)),
  };
}

function differenceOf(one: Judged, other: Judged): Difference {
  const { label } = one;
  const { file, path, label: about, said: first } = asMistake(one);
  const second = asMistake(other).said;
  const category = first.category !== second.category;
  const [showsFirst, showsSecond] = [first.verdict === "shown", second.verdict === "shown"];
  const shown = showsFirst !== showsSecond;
  const rightIn = (whether: boolean, hit: boolean | null): "first" | "second" | null =>
    !whether || hit === null ? null : hit ? "first" : "second";
  const ofCategory = [first, second].some((said) => said.category === label.category)
    ? first.category === label.category
    : null;
  // only where the rules say it plainly: no human may be shown, and food and ambience without one should be
  const ofShown = isIn("humans", label) ? !showsFirst : isIn("foodAndAmbience", label) ? showsFirst : null;
  const right = { category: rightIn(category, ofCategory), shown: rightIn(shown, ofShown) };
  return { file, path, label: about, first, second, category, shown, right };
}

/** What matters most comes first: a human that one would show, then what the second does worse, then the rest. */
function weight({ label, shown, right }: Difference): number {
  const worse = right.shown === "first" || right.category === "first" ? 1 : 0;
  return (shown && label.human ? 4 : 0) + (shown ? 2 : 0) + worse;
}
