import { z } from "zod";
import { EventError } from "../errors.ts";
import { createdVersion } from "../version.ts";
import { checkKey, isFolder, type Parsed, type Received, saidAt } from "./event.ts";
import { bucketName, readShape, text } from "./shape.ts";

const attributes = z.object({
  eventType: z.string(),
  bucketId: bucketName,
  objectId: z.string(),
  objectGeneration: z.string().regex(/^[0-9]{1,20}$/, "expected a whole number"),
  eventTime: z.unknown().optional(),
});
/** A notification of Cloud Storage as a Pub/Sub push subscription delivers it. */
export const gcsMessage = z.object({
  message: z.object({
    attributes,
    data: z.string().nullish(),
  }),
});
/** What tells a notification of Cloud Storage, whatever else is wrong with it. */
export const gcsHallmark = z.object({
  message: z.object({ attributes: z.object({ eventType: z.string(), bucketId: z.string() }) }),
});
const pushed = z.object({ subscription: text(1_000), message: z.object({ messageId: text(1_000) }) });
/** What is read of the object's own description, which is there unless the notification leaves it out. */
const description = z.object({
  // what is longer would make a version that no table indexes
  md5Hash: z
    .string()
    .regex(/^[\w+/]{22}==$/, "expected base64 of 16 bytes")
    .optional(),
});

/** The name of a message that is the same in each delivery: Pub/Sub counts those in the body, beside the message itself. */
export function pushedAs(body: unknown): string | undefined {
  const { data } = pushed.safeParse(body);
  return data && `${data.subscription} ${data.message.messageId}`;
}

/**
 * Reads one notification of Cloud Storage that Pub/Sub pushed. A photo of it is fetched over the S3 protocol that
 * Cloud Storage speaks too. The generation is the order; a generation that is deleted, or that another took the place
 * of, is withdrawn, and a newer one is not. Changes of metadata are ignored.
 *
 * @throws {EventError} EVENT_INVALID, saying where in the message and what was expected.
 */
export function parseGcs(body: unknown, receivedAt: Received): Parsed {
  const { message } = readShape(gcsMessage, body, "expected a Pub/Sub push message");
  const said = message.attributes;
  const kind = KINDS.get(said.eventType);
  if (!kind) return { events: [], ignored: 1 };
  const key = checkKey(said.objectId, "objectId");
  if (isFolder(key)) return { events: [], ignored: 1 };
  const { md5Hash } = describe(message.data);
  const md5 = md5Hash && Buffer.from(md5Hash, "base64").toString("hex");
  return {
    events: [
      {
        kind,
        store: "s3",
        bucket: said.bucketId,
        key,
        version: kind === "removed" ? "" : createdVersion(undefined, md5, said.objectGeneration),
        // one generation comes to be and goes with the same number, and it goes last
        order: said.objectGeneration.padStart(20, "0") + (kind === "created" ? "0" : "1"),
        receivedAt: saidAt(said.eventTime, receivedAt),
        known: {},
      },
    ],
    ignored: 0,
  };
}

function describe(data: string | null | undefined): z.infer<typeof description> {
  if (!data) return {};
  let object: unknown;
  try {
    object = JSON.parse(Buffer.from(data, "base64").toString("utf8"));
  } catch (cause) {
    throw new EventError("EVENT_INVALID", "message.data: expected the object as base64 of JSON", { cause });
  }
  return readShape(description, object, "expected an object", "message.data: ");
}

const KINDS: ReadonlyMap<string, "created" | "removed"> = new Map([
  ["OBJECT_FINALIZE", "created"],
  ["OBJECT_DELETE", "removed"],
  ["OBJECT_ARCHIVE", "removed"],
]);
