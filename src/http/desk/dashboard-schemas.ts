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
        at: z.iso.datetime({ offset: true }).describe("where the hour or day begins"),
        verdict: z.string(),
        category: z.string().nullable(),
        forHuman: z.boolean().describe("the model hid them for a human"),
        photos: count,
      }),
    )
    .describe("current photos by when their verdict was given"),
  models: z
    .array(z.object({ model: z.string(), verdict: z.string(), photos: count }))
    .describe('by who decided, a model, a moderator, or "" nobody; whichever model was asked for'),
});
export const agreement = z.object({
  models: z.array(
    z.object({
      model: z.string(),
      audited: count.describe("how many were looked at"),
      kept: proportion.describe("whose verdict stayed as the model had given it"),
      human: z.object({
        precision: proportion.describe("of those that the model hid, how many show a human"),
        recall: proportion.describe("of those that show a human, how many the model hid"),
        missed: proportion.describe("of those that the model let be shown, how many show a human"),
      }),
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
      before: z.array(count).describe("the same of as many days before"),
      psi: z
        .number()
        .nullable()
        .describe(
          "population stability index, 0 for not apart at all; null where either has fewer than a hundred photos",
        ),
      days: z
        .array(z.object({ day, mean: z.number(), photos: count }))
        .describe("the mean of each, to half a twentieth; those without photos are left out"),
    }),
  ),
});
export const listings = z.object({
  listings: z.array(
    z.object({ listing: z.string(), verdict: z.string(), category: z.string().nullable(), photos: count }),
  ),
});
