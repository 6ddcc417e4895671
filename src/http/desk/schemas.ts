import { z } from "zod";
import { KINDS } from "../../review/kinds.ts";

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

const id = z.string().regex(/^[1-9][0-9]{0,17}$/, "expected an id");
const time = z.iso.datetime({ offset: true });
const note = z.string().trim().max(1_000);

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
  uploader: z.enum(["moderator", "user"]).nullable(),
  claimed: z.string().nullable().describe("the category its uploader marked"),
  state: z.enum(["pending", "shown", "hidden", "review", "failed"]),
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
  links: z
    .object({ small: z.string(), medium: z.string(), large: z.string(), heat: z.string() })
    .describe("JPEGs of at most 320, 640 and 1,600 pixels, and of 640 with where the model sees a human"),
});

const kinds = z.array(kind).min(1);
export const claimAsked = z.strictObject({
  kinds: kinds.optional().describe("without it all, with audits as a tenth"),
  limit: z.int().min(1).max(200).default(50).describe("how many to hold in all, those held already included"),
});
export const claims = z.object({
  photos: z.array(photo).describe("all that are held, those held before first"),
  until: time.describe("the claims hold until then"),
});
export const held = z.strictObject({ photos: z.array(id).min(1).max(500) });
export const renewed = z.object({
  photos: z.array(id).describe("still held; what is missing was lost, or is decided"),
  until: time,
});

export const decision = z.strictObject({
  id: z.uuid().describe("made by the caller: sending the same again does nothing more"),
  photo: id,
  verdict: z.enum(["shown", "hidden"]),
  category: z.string().nullable().default(null).describe("null: the photo keeps its own"),
  human: z.boolean().nullable().default(null).describe("whether a human is seen; null: not said"),
  note: note.nullable().default(null),
  asOf: z
    .string()
    .regex(/^\d{1,18}$/, "expected the asOf of a photo")
    .nullable()
    .default(null)
    .describe("of the photo as it was shown; null: whatever it is now"),
});
export const decisions = z.strictObject({ decisions: z.array(decision).min(1).max(200) });
export const decided = z.object({
  id: z.string(),
  photo: z.string(),
  outcome: z
    .enum(["done", "known", "taken", "changed", "withdrawn", "gone", "clash"])
    .describe(
      "done: it counts; known: it was here before, and counts; and of what does not count, taken: another moderator " +
        "holds the photo; changed: another moderator decided since asOf, or this one took it back; withdrawn: its object was " +
        "replaced or removed since; gone: there is no such photo; clash: the id was used for another act",
    ),
  by: z.string().nullable().describe("of taken and changed, the other moderator"),
  state: z.string().nullable().describe("what the photo is now"),
  asOf: z.string().nullable(),
});
export const allDecided = z.object({ decisions: z.array(decided).describe("in the order they were sent") });

export const undo = z.object({ decision: z.uuid().describe("the one to take back") });
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
});
export const throughput = z.object({
  lastHour: z.int(),
  since: z.int().describe("since the time that was asked for"),
  undone: z.int().describe("of these, taken back; they are not counted"),
});
export const throughputAsked = z.object({ since: time.optional().describe("without it the last 24 hours") });

export const appealed = z.strictObject({ reason: note.min(1) });
export const appeal = z.object({ photo: id, open: z.boolean(), at: time });

export const searchAsked = z.object({
  key: z.string().max(1_024).optional().describe("how the key begins"),
  bucket: z.string().max(1_024).optional(),
  listing: z.string().max(1_024).optional(),
  category: z.string().max(100).optional(),
  state: photo.shape.state.optional(),
  current: z.enum(["yes", "no"]).optional().describe("no: its object was replaced or removed since"),
  by: z.string().max(200).optional().describe("model:NAME, moderator:NAME or NAME alone"),
  rule: z.string().max(100).optional().describe("of the policy, or the code of a failure"),
  humanFrom: z.coerce.number().min(0).max(1).optional(),
  humanTo: z.coerce.number().min(0).max(1).optional(),
  from: time.optional().describe("registered then or later"),
  to: time.optional().describe("registered before"),
  after: id.optional().describe("the next of the page before"),
  limit: z.coerce.number().int().min(1).max(200).default(60),
});
export const found = z.object({
  photos: z.array(photo).describe("newest first; a page may be short, or empty, and yet not be the last"),
  next: id.nullable().describe("the after of the next page; null where this is the last"),
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
        at: time,
        saw: z.object({ human: z.boolean().nullable(), audit: z.boolean() }).nullable(),
      }),
    )
    .describe("oldest first; the newest thousand"),
  verdicts: z.int().describe("how many there are in all"),
  reruns: z
    .array(z.object({ by: z.string(), at: time }))
    .describe("when somebody had it judged again; where the verdict stayed the same, history has no other"),
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

export const auditAsked = z.object({
  before: z
    .string()
    .regex(/^\d{1,18}$/)
    .optional()
    .describe("the next of the page before"),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const auditLog = z.object({
  entries: z.array(
    z.object({
      id: z.string(),
      at: time,
      who: z.string(),
      did: z.string().describe("such as signed-in, decided, undone, appealed, revoked"),
      photo: z.string().nullable(),
      about: z.record(z.string(), z.unknown()),
    }),
  ),
  next: z.string().nullable(),
});
export const sessions = z.object({
  sessions: z.array(
    z.object({
      id: z.string().describe("no secret"),
      name: z.string(),
      roles: z.array(role),
      by: z.string().describe("token:ID, oidc:ISSUER#SUBJECT or link:NAME"),
      startedAt: time,
      seenAt: time,
      endsAt: time,
      own: z.boolean(),
    }),
  ),
});
export const sessionAsked = z.object({
  id: z.string().regex(/^[0-9a-f]{12}$/, "expected the id of a session"),
});
