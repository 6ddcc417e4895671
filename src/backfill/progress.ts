import type { BackfillRow } from "../store/backfills.ts";
import { parseHours, waitsUntil } from "./hours.ts";
import { selector } from "./selector.ts";

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

/** Photos a second for a person: a small number with digits that say something. */
export function formatRate(photosPerS: number): string {
  return photosPerS === 0 || photosPerS >= 1
    ? photosPerS.toFixed(1)
    : String(Number(photosPerS.toPrecision(2)));
}

/** Of a run, what says whether anybody works on it, as far as Postgres knows. */
export type Waiting = Pick<
  BackfillRow,
  "state" | "model" | "hours" | "readAll" | "retrying" | "waiting" | "feeder" | "workers" | "able"
>;

/** What a run waits for that is running, by this machine's clock, such as "waits until 22:00"; undefined where nothing holds it. */
export function blockedReason(run: Waiting, now: Date): string | undefined {
  const { state, model, hours, readAll, retrying, waiting, feeder, workers, able } = run;
  if (state !== "running") return undefined;
  if (feeder === "nobody") return "waits for maitred feed or maitred up: none runs";
  const feeds = !readAll || retrying;
  if ((feeds || waiting > 0) && feeder === "lane paused")
    return "waits for the lane backfill, which is paused: maitred queue status says by whom";
  // one that decides from stored scores has no model
  if (model && (feeds || waiting > 0) && workers > 0 && able === 0)
    return `waits for a worker that runs ${model.replace(/^model:/, "")} or the active model, as ${workers === 1 ? "the one here does not" : `none of the ${workers} here does`}: maitred model list says why`;
  const until = feeds && hours ? waitsUntil(parseHours(hours), now) : undefined;
  if (until !== undefined) return `waits until ${until}`;
  if (feeds && feeder === "stands back")
    return "waits for an upload that is older than MAITRED_LIVE_TARGET_MS";
  if (waiting > 0 && workers === 0) return "waits for a worker: none runs";
  return undefined;
}

const FORGOTTEN_MS = 60_000;
