/** Where a model's mistakes sit: those of one source are often of one kind, which more photos like them would teach. */
import type { Judged } from "./effect.ts";
import { MISTAKES, type MistakeKind, WRONG } from "./mistakes.ts";

export interface SourceMistakes extends Record<MistakeKind, number> {
  source: string;
  /** Its photos, right or wrong. */
  photos: number;
  /** The category that it takes for another most often, null where it takes none. */
  confusion: { is: string; said: string; photos: number } | null;
}

/** Sources with mistakes of any kind, those with most first. Photos that name no source are in none. */
export function mistakesBySource(judged: readonly Judged[]): SourceMistakes[] {
  const named = judged.filter(({ label }) => label.source !== null);
  return [...grouped(named, ({ label }) => label.source!)]
    .map(([source, photos]) => ofSource(source, photos))
    .filter((each) => mistakesIn(each) > 0)
    .sort((a, b) => mistakesIn(b) - mistakesIn(a));
}

export function confused({ is, said, photos }: NonNullable<SourceMistakes["confusion"]>): string {
  return `${is} -> ${said} ${photos}`;
}

/** Of every kind: a photo that is wrong in two ways counts twice. */
function mistakesIn(of: Record<MistakeKind, number>): number {
  return MISTAKES.reduce((sum, kind) => sum + of[kind], 0);
}

function ofSource(source: string, judged: readonly Judged[]): SourceMistakes {
  const count = (kind: MistakeKind): number => judged.filter(WRONG[kind]).length;
  return {
    source,
    photos: judged.length,
    humansShown: count("humansShown"),
    heldForHuman: count("heldForHuman"),
    wrongCategory: count("wrongCategory"),
    confusion: mostConfused(judged.filter(WRONG.wrongCategory)),
  };
}

function mostConfused(wrong: readonly Judged[]): SourceMistakes["confusion"] {
  const pairs = grouped(wrong, ({ label, decision }) => `${label.category}\n${decision.category}`);
  const [pair] = [...pairs.values()].sort((a, b) => b.length - a.length);
  if (!pair) return null;
  const [{ label, decision }] = pair as [Judged];
  return { is: label.category!, said: decision.category, photos: pair.length };
}

function grouped(judged: readonly Judged[], keyOf: (photo: Judged) => string): Map<string, Judged[]> {
  const groups = new Map<string, Judged[]>();
  for (const photo of judged) {
    const group = groups.get(keyOf(photo));
    if (group) group.push(photo);
    else groups.set(keyOf(photo), [photo]);
  }
  return groups;
}
