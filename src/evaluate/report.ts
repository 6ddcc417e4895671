import type { Policy } from "../decide/policy.ts";
import type { Comparison } from "./comparison.ts";
import type { Evaluation } from "./evaluation.ts";
import type { TrainedOn } from "./trained-on.ts";

export interface Subject {
  /** As people call it: id and variant. */
  name: string;
  model: string;
  variant: string;
  provider: string;
  evaluation: Evaluation;
}

/** What is written as JSON, and shown as the page. */
export interface Report {
  set: string;
  /** When, as ISO 8601. */
  at: string;
  policy: { file: string; thresholds: Policy };
  /** Labels in the set; lines that are none; photos that could not be judged. */
  labelled: number;
  problems: string[];
  unjudged: { file: string; code: string; message: string }[];
  /** One model, or two that are compared. */
  subjects: Subject[];
  /** Those of them that know sources of the set, or of which nobody can tell. */
  trainedOn: TrainedOn[];
  comparison: Comparison | null;
}

/** Below so many, drawing sources again cannot tell how different others are. */
export const FEW_SOURCES = 10;

export function fewSources(sources: number): string {
  return `too few sources: ${sources}, and photos of one source are alike, so that intervals say little`;
}

/**
 * Of a photo on this machine, its name in the set is what others can use. Numbers are whole: rounded, a threshold would
 * pass over the photo that it is of.
 */
export function asJson(report: Report, indent = 0): string {
  return JSON.stringify(report, (key, value: unknown) => (key === "path" ? undefined : value), indent);
}
