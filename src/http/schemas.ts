import { z } from "zod";
import { MAX_KEY_BYTES, text } from "../intake/shape.ts";
import { STATES, UPLOADERS, VERDICTS } from "../photo.ts";
import { ID } from "../text.ts";

export const taken = z
  .object({
    id: z.string().nullable().describe("the photo; null where the event speaks of none that is known"),
    bucket: z.string(),
    key: z.string(),
    outcome: z
      .enum(["accepted", "known", "removed", "duplicate", "stale"])
      .describe("accepted and removed changed something; the others did not"),
  })
  .describe("what became of one event");
export const takenAll = z.object({
  photos: z.array(taken),
  ignored: z.int().describe("things in the message that are of no concern here"),
});
/** Of a notification, which a store would send again and again were it refused for what is wrong in it. */
export const noticed = takenAll.extend({
  putAside: z
    .object({ code: z.string(), detail: z.string().describe("where in the message, and what was expected") })
    .optional()
    .describe("why not all of it is understood: it is kept for maitred events"),
});

const time = z.string().describe("ISO 8601");
export const photo = z.object({
  id: z.string(),
  store: z.enum(["s3", "folder"]),
  bucket: z.string(),
  key: z.string(),
  version: z.string(),
  current: z.boolean().describe("false once it was removed, or another version of its object took its place"),
  public: z.boolean().describe("whether it may be shown: it is current, and its state is shown"),
  state: z.enum(STATES),
  listing: z.string().nullable(),
  uploader: z.enum(UPLOADERS).nullable(),
  claimed: z.string().nullable(),
  category: z.string().nullable(),
  human: z.number().nullable().describe("probability 0 to 1 that a human is visible"),
  tags: z.array(z.object({ category: z.string(), score: z.number(), threshold: z.number(), by: z.string() })),
  verdict: z.enum(VERDICTS).nullable(),
  rule: z.string().nullable(),
  reason: z.string().nullable(),
  failure: z.string().nullable().describe("the code, where it could not be judged"),
  by: z
    .string()
    .nullable()
    .describe("model:NAME or moderator:NAME; of a failure the model that was to judge it"),
  registeredAt: time,
  decidedAt: time.nullable(),
  history: z
    .array(
      z.object({
        verdict: z.string(),
        rule: z.string(),
        reason: z.string(),
        category: z.string().nullable(),
        by: z.string(),
        at: time,
      }),
    )
    .describe("oldest first; the newest hundred"),
});

export const photoQuery = z.object({
  bucket: text(255).describe("or, of a photo of a folder, the folder's absolute path"),
  key: text(MAX_KEY_BYTES).describe(
    "as the store knows it, not encoded; of a photo of a folder, its path below that",
  ),
});
export const photoParams = z.object({
  id: z.string().regex(ID, "expected the id of a photo"),
});

export const newAppeal = z.strictObject({
  reason: text(1_000).describe("what is wrong with the verdict, for the moderator"),
  by: text(200)
    .refine((by) => !/^token[: ]/i.test(by), "expected whoever objects to be no token, such as uploader:77")
    .optional()
    .describe("who objects, such as uploader:77; without it the token"),
});
export const appeal = z.object({
  id: z.string().describe("the photo"),
  at: time.describe("when the appeal that is open was made"),
});

export const snsHeaders = z.object({
  "x-amz-sns-rawdelivery": z
    .string()
    .optional()
    .describe("true where SNS delivers raw: the body is then what was published, and a token is needed"),
  "x-amz-sns-topic-arn": z.string().optional().describe("the topic; needed where SNS delivers raw"),
});
