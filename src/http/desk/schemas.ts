import { z } from "zod";
import { STATES, UPLOADERS } from "../../photo.ts";
import { KINDS } from "../../review/kinds.ts";
import { ID, isStorable } from "../../text.ts";

/** The shapes that the desk sends and is sent; its page is written against them. Times are ISO 8601, ids are text. */

export const ROLES = ["viewer", "moderator", "operator"] as const;
export type Role = (typeof ROLES)[number];
export const role = z.enum(ROLES).describe("viewer: look; moderator: decide; operator: run");

export const kind = z
  .enum(KINDS)
  .describe(
    "why a person is asked: somebody appealed; the model is not sure about humans; every such photo is verified; it is " +
      "not sure of the category; it gave no usable scores; drawn at random",
  );

export const id = z.string().regex(ID, "expected an id");
/** Text of at most so many characters that Postgres can hold. */
export const text = (most: number) =>
  z.string().max(most).refine(isStorable, "expected text without zero characters");
export const time = z.iso.datetime({ offset: true });

export const session = z.object({
  signedIn: z.literal(true),
  name: z.string().describe("what history calls this person"),
  roles: z.array(role),
  endsAt: time.describe("then it ends, whatever is done"),
  idleS: z.int().describe("seconds without a request after which it ends"),
  settings: z.object({
    blur: z.boolean().describe("whether photos hidden for a human are blurred until asked for"),
    leaseS: z.int().describe("seconds that a claim holds unless it is renewed"),
    categories: z.array(z.string()).describe("in the order of the keys 1 to 4"),
  }),
});
export const noSession = z.object({
  signedIn: z.literal(false),
  oidc: z.boolean().describe("whether /desk/api/oidc/start leads to a provider"),
});
export const signIn = z
  .strictObject({ token: z.string().max(200) })
  .or(z.strictObject({ link: z.string().max(200) }))
  .describe("a token of maitred token create, or the code of a one-time link");

export const photo = z.object({
  id,
  kind: kind.nullable().describe("why a person is asked; null where nobody is"),
  store: z.enum(["s3", "folder"]),
  bucket: z.string(),
  key: z.string(),
  version: z.string(),
  current: z.boolean().describe("false once its object was replaced or removed"),
  listing: z.string().nullable(),
  uploader: z.enum(UPLOADERS).nullable(),
  claimed: z.string().nullable().describe("the category its uploader marked"),
  state: z.enum(STATES),
  category: z.string().nullable(),
  human: z.number().nullable().describe("probability 0 to 1 that a human is visible"),
  scores: z.record(z.string(), z.number()).nullable().describe("probability 0 to 1 by category"),
  model: z.string().nullable().describe("whose scores these are"),
  rule: z.string().nullable(),
  reason: z.string().nullable(),
  by: z.string().nullable().describe("model:NAME or moderator:NAME"),
  sawHuman: z
    .boolean()
    .nullable()
    .describe("whether the moderator who decided saw a human; null: none decided, or did not say"),
  categoryBy: z.string().nullable().describe("moderator:NAME where a moderator gave the category, else null"),
  registeredAt: time,
  decidedAt: time.nullable(),
  asOf: z.string().describe("its latest verdict, 0 for none; send it along with a decision"),
  appeal: z.object({ reason: z.string(), by: z.string(), at: time }).nullable(),
  unsureBy: z.array(z.string()).describe("which moderators were not sure of it, since its latest verdict"),
  links: z
    .object({ small: z.string(), medium: z.string(), large: z.string(), heat: z.string() })
    .describe("JPEGs of at most 320, 640 and 1,600 pixels, and where the model sees a human, as JSON"),
});

const share = z.number().min(0).max(1);
/** What `links.heat` leads to. */
export const heat = z.object({
  human: share.describe("probability that a human is visible, of the model that is active now"),
  peak: z.object({ x: share, y: share }).describe("where it is highest, of the frame from the top left"),
  clear: z
    .boolean()
    .describe("whether a human is likelier there than none: without that it is no place to point at"),
  nobody: z.boolean().describe("whether the policy takes the score for nobody: below its human.review"),
  width: z.int().positive(),
  height: z.int().positive(),
  values: z.array(share).describe("width x height cells, row by row from the top left, to two decimals"),
});

export const searchAsked = z.object({
  key: text(1_024).optional().describe("how the key begins"),
  bucket: text(1_024).optional(),
  listing: text(1_024).optional(),
  category: text(100).optional(),
  state: photo.shape.state.optional(),
  current: z
    .enum(["yes", "no", "any"])
    .optional()
    .describe(
      "no: its object was replaced or removed since; yes, which is the default, finds those too whose key is this very one",
    ),
  by: text(200).optional().describe("model:NAME, moderator:NAME or NAME alone"),
  rule: text(100).optional().describe("of the policy, or the code of a failure"),
  unsure: z.coerce
    .number()
    .int()
    .min(1)
    .max(100)
    .optional()
    .describe("so many moderators or more were not sure of it, since its latest verdict"),
  humanFrom: z.coerce.number().min(0).max(1).optional(),
  humanTo: z.coerce.number().min(0).max(1).optional(),
  scoreFrom: z.coerce
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("of the category, as a model scored it last"),
  scoreTo: z.coerce.number().min(0).max(1).optional(),
  from: time.optional().describe("registered then or later"),
  to: time.optional().describe("registered before"),
  after: id.optional().describe("the next of the page before"),
  limit: z.coerce.number().int().min(1).max(200).default(60),
});
export const found = z.object({
  photos: z.array(photo).describe("newest first; a page may be short, or empty, and yet not be the last"),
  next: id.nullable().describe("the after of the next page; null where this is the last"),
  capped: z
    .boolean()
    .describe(
      "whether this is the last though only the first 5,000 keys of a bucket that begin so were looked at",
    ),
});

export const photoAsked = z.object({ id });
export const wholePhoto = photo.extend({
  withdrawnAt: time.nullable().describe("when its object was replaced or removed"),
  failure: z.string().nullable(),
  policy: z.string().nullable(),
  tags: z.array(z.object({ category: z.string(), score: z.number(), threshold: z.number(), by: z.string() })),
  history: z
    .array(
      z.object({
        verdict: z.string(),
        rule: z.string(),
        reason: z.string(),
        category: z.string().nullable(),
        human: z.number().nullable(),
        scores: z.record(z.string(), z.number()).nullable(),
        by: z.string(),
        policy: z.string().nullable(),
        failure: z.string().nullable().describe("why it could not be judged, as a code"),
        tries: z
          .int()
          .nullable()
          .describe("how many it took; null of a verdict of the first one, and where they were not counted"),
        at: time,
        saw: z
          .object({ human: z.boolean().nullable(), audit: z.boolean() })
          .nullable()
          .describe("what a moderator saw"),
      }),
    )
    .describe("oldest first; the newest thousand"),
  verdicts: z.int().describe("how many there are in all"),
  reruns: z
    .array(z.object({ by: z.string(), at: time }))
    .describe("when somebody had it judged again; where the verdict stayed the same, history has no other"),
  passes: z
    .array(z.object({ by: z.string(), at: time }))
    .describe("who was not sure, and when; oldest first"),
  shadows: z
    .array(
      z.object({
        model: z.string(),
        verdict: z.string().describe("what the policy would have decided"),
        category: z.string(),
        human: z.number(),
        scores: z.record(z.string(), z.number()),
        at: time,
      }),
    )
    .describe("what models said that judge beside the active one, and decide nothing"),
  appeals: z.array(z.object({ reason: z.string(), by: z.string(), at: time, answeredAt: time.nullable() })),
  deliveries: z
    .array(
      z.object({
        destination: z.string(),
        to: z.string().nullable().describe("host of a webhook; of others the bucket, null for all"),
        kind: z.string(),
        state: z.enum(["pending", "delivered", "dead"]),
        attempts: z.int(),
        error: z.string().nullable(),
        at: time,
        deliveredAt: time.nullable(),
      }),
    )
    .describe("newest first; at most fifty"),
});
