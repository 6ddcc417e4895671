import { z } from "zod";
import { id, kind, photo, text, time } from "./schemas.ts";

/** The shapes of reviewing: claims, decisions, and what became of them. */

const note = text(1_000).trim();
const kinds = z.array(kind).min(1);
const page = text(36)
  .default("")
  .describe("a name that the caller's page made up, as a UUID: each page of a moderator holds other photos");
export const claimAsked = z.strictObject({
  kinds: kinds.optional().describe("without it all, with audits as a tenth"),
  limit: z.int().min(1).max(200).default(50).describe("how many the page is to hold, those it has included"),
  page,
  before: text(36)
    .optional()
    .describe("the page before it in its tab: what that holds still, this one takes over"),
});
export const claims = z.object({
  photos: z.array(photo).describe("all that the page holds, those held before first"),
  until: time.describe("the claims hold until then"),
});
export const held = z.strictObject({ photos: z.array(id).min(1).max(500), page });
export const renewed = z.object({
  photos: z.array(id).describe("still held; what is missing was lost, or is decided"),
  until: time,
});

export const decision = z.strictObject({
  id: z.uuid().describe("made by the caller: sending the same again does nothing more"),
  photo: id,
  verdict: z
    .enum(["shown", "hidden", "unsure"])
    .describe("unsure: no verdict; the photo stays as it is, and goes to another moderator"),
  category: z.string().nullable().default(null).describe("null: the photo keeps its own"),
  human: z.boolean().nullable().default(null).describe("whether a human is seen; null: not said"),
  note: note.nullable().default(null),
  asOf: z
    .string()
    .regex(/^\d{1,18}$/, "expected the asOf of a photo")
    .nullable()
    .default(null)
    .describe("of the photo as it was shown; null: whatever it is now"),
  appeal: time
    .nullable()
    .default(null)
    .describe(
      "`at` of the appeal that was shown with the photo, which this answers; one that came since stays open",
    ),
});
export const decisions = z.strictObject({ decisions: z.array(decision).min(1).max(200) });
export const decided = z.object({
  id: z.string(),
  photo: z.string(),
  outcome: z
    .enum(["done", "known", "taken", "changed", "withdrawn", "gone", "clash"])
    .describe(
      "done: it counts; known: it was here before, and counts; and of what does not count, taken: another moderator " +
        "holds the photo; changed: another moderator decided since asOf, or hid the same bytes so that it was held, or this one took it back; withdrawn: its object was " +
        "replaced or removed since; gone: there is no such photo; clash: the id was used for another act",
    ),
  by: z.string().nullable().describe("of taken and changed, the other moderator"),
  state: z.string().nullable().describe("what the photo is now"),
  asOf: z.string().nullable(),
});
export const allDecided = z.object({ decisions: z.array(decided).describe("in the order they were sent") });

export const undo = z.object({ decision: z.uuid().describe("the one to take back"), page });
export const undone = z.object({
  outcome: z
    .enum(["done", "known", "changed", "gone"])
    .describe(
      "changed: the photo was decided again since; gone: there is no such decision of this moderator",
    ),
  photo: photo.nullable().describe("as it was before; claimed again where nobody else holds it"),
});

export const queue = z.object({
  kinds: z
    .record(kind, z.int())
    .describe("how many photos wait, whoever holds them; 10,000 or more: at most as many are counted"),
  held: z.int().describe("how many are held by anybody"),
  moderators: z.int().describe("how many of them used the desk within ten minutes"),
});
export const throughput = z.object({
  lastHour: z.int(),
  since: z.int().describe("since the time that was asked for"),
  undone: z.int().describe("of these, taken back; they are not counted"),
});
export const throughputAsked = z.object({ since: time.optional().describe("without it the last 24 hours") });

export const appealed = z.strictObject({ reason: note.min(1) });
export const appeal = z.object({ photo: id, open: z.boolean(), at: time });
