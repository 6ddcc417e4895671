import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { STATES, UPLOADERS } from "../photo.ts";

const bucket = z.string().min(1);
/** What a view may be called: its name, as Postgres has it, maybe with its schema. */
export const VIEW = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/;

/** Which photos a backfill is about; stored with it as JSON. */
export const selector = z.discriminatedUnion("kind", [
  /** Every object below a prefix of a bucket, in the order of its keys. */
  z.strictObject({ kind: z.literal("prefix"), bucket, prefix: z.string() }),
  /** What a list names: CSV, JSON lines, or an S3 Inventory by its manifest.json; `.gz` is unpacked. */
  z.strictObject({
    kind: z.literal("manifest"),
    /** `s3://bucket/key`, or an absolute path that the feeder can read. */
    at: z.string().min(1),
    /** The bucket of lines that name none. */
    bucket: bucket.optional(),
  }),
  /** Current photos in Postgres, in the order of their ids. */
  z.strictObject({
    kind: z.literal("photos"),
    state: z.enum(STATES).optional(),
    code: z.string().optional(),
    /** Decided by another model than the backfill's. */
    olderModel: z.boolean().optional(),
    /** The score of its category in its latest verdict is below this, 0..1. */
    below: z.number().min(0).max(1).optional(),
    /** When its upload became known: at or after, and before; ISO 8601. */
    since: z.iso.datetime().optional(),
    until: z.iso.datetime().optional(),
    listing: z.string().optional(),
    uploader: z.enum(UPLOADERS).optional(),
    /** Ids up to this one: what comes later is an upload of today. */
    upTo: z.string().regex(/^\d+$/),
  }),
  /** The `photo_id`s of a view or table. */
  z.strictObject({ kind: z.literal("view"), view: z.string().regex(VIEW) }),
  /** Photos whose stored scores another policy decides anew: no feeder is asked, see redecide.ts. */
  z.strictObject({ kind: z.literal("policy"), policy: z.string(), upTo: z.string().regex(/^\d+$/) }),
]);
type Selector = z.infer<typeof selector>;
export type FedSelector = Exclude<Selector, { kind: "policy" }>;
export type PhotoSelector = Extract<Selector, { kind: "photos" }>;

export function describe(what: Selector): string {
  switch (what.kind) {
    case "prefix":
      return `s3://${what.bucket}/${what.prefix}`;
    case "manifest":
      return what.at;
    case "view":
      return `view ${what.view}`;
    case "policy":
      return `policy ${what.policy} over stored scores`;
    case "photos": {
      const { kind: _, upTo: _last, olderModel, ...rest } = what;
      const filters = Object.entries(rest).map(([name, value]) => `${name} ${value}`);
      if (olderModel) filters.push("of another model");
      return filters.length > 0 ? `photos: ${filters.join(", ")}` : "all photos";
    }
    default:
      return what satisfies never;
  }
}

/** A selector as it is stored, in words, also where it is not understood: a list shows the others too. */
export function describeStored(raw: unknown): string {
  const { success, data } = selector.safeParse(raw);
  return success ? describe(data) : `not understood: ${JSON.stringify(raw)}`;
}

/** @throws {ConfigError} for a selector that another version of maitred has written. */
export function parseSelector(raw: unknown): Selector {
  const result = selector.safeParse(raw);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ConfigError(`selector: ${issue!.path.join(".")}: ${issue!.message}`);
}
