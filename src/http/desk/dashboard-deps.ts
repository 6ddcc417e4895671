import type { z } from "zod";
import type * as shapes from "./dashboard-schemas.ts";

/** First and last day, as 2026-01-31, of UTC; both are in it. */
export interface Days {
  from: string;
  to: string;
}

export type Counts = Pick<z.infer<typeof shapes.counts>, "counts" | "models">;
export type Agreement = z.infer<typeof shapes.agreement>["models"][number];
export type Drift = z.infer<typeof shapes.drift>["scores"][number];

export interface DashboardDeps {
  counts(days: Days, step: "hour" | "day", model?: string): Promise<Counts>;
  agreement(days: Days): Promise<Agreement[]>;
  /** Models that gave scores, the one with most first. */
  scoredModels(days: Days): Promise<string[]>;
  /** @param before the days that are compared with. */
  drift(days: Days, before: Days, model: string): Promise<Drift[]>;
  listings(listings: readonly string[]): Promise<z.infer<typeof shapes.listings>["listings"]>;
}
