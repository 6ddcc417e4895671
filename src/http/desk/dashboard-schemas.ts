import { z } from "zod";
import { text } from "./schemas.ts";

/** The shapes of the dashboards. Days are of UTC, as 2026-01-31; a model is named as history does, model:NAME. */

const day = z.iso.date();
const count = z.number();
const proportion = z
  .object({ hits: count, of: count, value: z.number().nullable(), low: z.number(), high: z.number() })
  .describe("a share 0 to 1 with its 95 % interval of Wilson; value is null where there is nothing");

const days = { from: day, to: day };
const model = text(200).min(1).optional();
export const countsAsked = z.strictObject({ ...days, model });
export const agreementAsked = z.strictObject(days);
export const driftAsked = z.strictObject({ ...days, model });
export const listingsAsked = z.strictObject({
  listing: text(2_000).describe("up to twenty, with commas between"),
});

export const counts = z.object({
  step: z.enum(["hour", "day"]).describe("hours where eight days or fewer are asked for"),
  counts: z
    .array(
      z.object({
        at: z.iso.datetime({ offset: true }),
        verdict: z.string(),
        category: z.string().nullable(),
        forHuman: z.boolean().describe("the model hid them for a human"),
        photos: count,
      }),
    )
    .describe("current photos by when their verdict was given"),
  models: z
    .array(z.object({ model: z.string(), verdict: z.string(), photos: count }))
    .describe("by who decided, whichever model was asked for"),
});
export const agreement = z.object({
  models: z.array(
    z.object({
      model: z.string(),
      audited: count,
      kept: proportion,
      human: z.object({ precision: proportion, recall: proportion, missed: proportion }),
      categories: z.array(z.object({ category: z.string(), precision: proportion, recall: proportion })),
    }),
  ),
});
export const drift = z.object({
  model: z.string().nullable().describe("null where no model gave a score in these days"),
  models: z.array(z.string()),
  before: z.object({ from: day, to: day }).describe("the days that are compared with: as many, just before"),
  scores: z.array(
    z.object({
      score: z.string().describe("human, or the category that was the most probable"),
      now: z.array(count).describe("photos in each twentieth of 0 to 1"),
      before: z.array(count),
      psi: z
        .number()
        .nullable()
        .describe("population stability index; null where either has fewer than a hundred photos"),
      days: z.array(z.object({ day, mean: z.number(), photos: count })),
    }),
  ),
});
export const listings = z.object({
  listings: z.array(
    z.object({ listing: z.string(), verdict: z.string(), category: z.string().nullable(), photos: count }),
  ),
});
