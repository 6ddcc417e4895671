/** Part of processes: what the dashboards of the desk read. */
import { agreement } from "../evaluate/agreement.ts";
import { drift } from "../evaluate/drift.ts";
import type { DashboardDeps } from "../http/desk/dashboard-deps.ts";
import { auditCounts, countsByListing, countsOver, scoreCounts, scoredModels } from "../store/counts.ts";
import type { Pool } from "../store/pool.ts";

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
