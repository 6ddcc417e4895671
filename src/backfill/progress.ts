import type { BackfillRow } from "../store/backfills.ts";
import { selector } from "./selector.ts";

/** Of a run, what says how far it is. */
type Going = Pick<BackfillRow, "what" | "cursor" | "readAll" | "expected" | "seen" | "fed" | "waiting">;

/** How much of its selector was read, 0 to 1; undefined where nobody knows how much there is before its end. */
export function partRead({ what, cursor, readAll, expected, seen }: Going): number | undefined {
  if (readAll) return 1;
  // there are more than somebody thought: how many more nobody knows
  if (expected !== null) return seen > expected ? undefined : seen / expected;
  const known = selector.safeParse(what).data;
  if (!known || !("upTo" in known)) return undefined;
  return Math.min(
    1,
    Number((cursor as { after: string } | null)?.after ?? 0) / Math.max(1, Number(known.upTo)),
  );
}

/** Photos that are still to be judged, of which as many are taken to be skipped as until now; undefined where nobody knows. */
export function photosLeft(run: Going): number | undefined {
  const part = partRead(run);
  return part ? run.waiting + (run.fed * (1 - part)) / part : undefined;
}

/**
 * How many photos a second a run judges, from looking at it again and again: since it was taken up last, or failed photos
 * were fed again, or nobody looked for a minute. What went before says nothing of how long the rest takes.
 */
export function createRate(
  now: () => number,
): (run: Pick<BackfillRow, "state" | "fed" | "waiting">) => number {
  let first: { at: number; state: string; judged: number } | undefined;
  let last = { at: 0, judged: 0 };
  return ({ state, fed, waiting }) => {
    const [at, judged] = [now(), fed - waiting];
    if (first?.state !== state || judged < last.judged || at - last.at > FORGOTTEN_MS)
      first = { at, state, judged };
    last = { at, judged };
    const seconds = (at - first.at) / 1_000;
    return seconds > 0 ? (judged - first.judged) / seconds : 0;
  };
}

const FORGOTTEN_MS = 60_000;
