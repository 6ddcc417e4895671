/** What is counted day by day, and judged by whoever measures a model. */

/** Photos drawn at random to measure a model, of which it said the same, and a moderator too. */
export interface Audited {
  model: string;
  saidVerdict: string;
  saidCategory: string | null;
  /** Whether the moderator saw a human; null: they did not say. */
  human: boolean | null;
  /** The category that the moderator gave; null: they left the model's as it was. */
  category: string | null;
  verdict: string;
  reviews: number;
}

/** Scores of one kind, counted by day and by twentieth of 0 to 1. */
export interface ScoreCount {
  /** As 2026-01-31. */
  day: string;
  /** `human`, or the category that was the most probable. */
  score: string;
  /** 0 to 19. */
  bucket: number;
  photos: number;
}
