/** Part of processes: keeps the counts behind dashboards folded. Workers, the API, the listener and the feeder do it. */
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { runEvery } from "../run-every.ts";
import type { Pool } from "../store/pool.ts";
import { foldRollups } from "../store/rollups.ts";

/** Folds every ten seconds, until `scope` is closed. Of several processes one does it, and the others find nothing to do. */
export function startRollupFolding(db: Pool, log: Logger, scope: Scope): void {
  const failed = (err: Error): void =>
    log.warn({ err }, "could not fold counts, and will again: until then they are slower to read");
  scope.hold(
    "folding",
    runEvery(() => foldRollups(db), FOLD_MS, failed),
  );
}

const FOLD_MS = 10_000;
