import type { BackfillRow } from "../store/backfills.ts";
import { parseHours, waitsUntil } from "./hours.ts";

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
