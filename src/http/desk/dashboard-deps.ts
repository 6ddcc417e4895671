import type { z } from "zod";
import type * as shapes from "./dashboard-schemas.ts";

export interface Days {
  from: string;
  to: string;
}

/** What the dashboards read. Days are of UTC, and both are in it. */
export interface DashboardDeps {
  counts(
    days: Days,
    step: "hour" | "day",
    model?: string,
  ): Promise<Pick<z.infer<typeof shapes.counts>, "counts" | "models">>;
  agreement(days: Days): Promise<z.infer<typeof shapes.agreement>["models"]>;
  /** Models that gave scores, the one with most first. */
  scoredModels(days: Days): Promise<string[]>;
  /** @param before the days that are compared with. */
  drift(days: Days, before: Days, model: string): Promise<z.infer<typeof shapes.drift>["scores"]>;
  listings(listings: readonly string[]): Promise<z.infer<typeof shapes.listings>["listings"]>;
}
