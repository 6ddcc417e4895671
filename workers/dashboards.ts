/** Part of processes: what the dashboards of the desk read. */
import { agreement } from "../src/evaluate/agreement.ts";
import { drift } from "../src/evaluate/drift.ts";
import type { DashboardDeps } from "../src/http/desk/dashboard-deps.ts";
import { auditCounts, countsByListing, countsOver, scoreCounts, scoredModels } from "../src/store/counts.ts";
import type { Pool } from "../src/store/pool.ts";

export function openDashboards(db: Pool): DashboardDeps {
  return {
    counts: (days, step, model) => countsOver(db, days, step, model),
    agreement: async (days) => agreement(await auditCounts(db, days)),
    scoredModels: (days) => scoredModels(db, days),
    async drift(days, before, model) {
      return drift(await scoreCounts(db, { from: before.from, to: days.to }, model), days.from);
    },
    listings: (listings) => countsByListing(db, listings),
  };
}
