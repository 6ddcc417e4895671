import { z } from "zod";
import { EventError } from "../errors.ts";
import { createdVersion } from "../version.ts";
import {
  checkSequencer,
  decodeFormKey,
  isFolder,
  type Parsed,
  type PhotoEvent,
  type Received,
  removedVersion,
  saidAt,
} from "./event.ts";
import { bucketName, readShape, versionText } from "./shape.ts";

// Ceph's sequencers do not sort, and its keys are not encoded
const eventSource = z
  .unknown()
  .refine((source) => source !== "ceph:s3", "expected any but ceph:s3: use POST /v1/photos for its photos")
  .optional();
/** What is read of a record; whatever else it holds is ignored, as S3 asks of its readers. */
const record = z.object({
  eventVersion: z.string().regex(/^2\.[0-9]+$/, {
    error: ({ input }) => `expected 2.0 or a later 2.x, got ${JSON.stringify(input)?.slice(0, 100)}`,
  }),
  eventSource,
  eventTime: z.unknown().optional(),
  eventName: z.string(),
  s3: z.object({
    bucket: z.object({ name: bucketName }),
    object: z.object({
      key: z.string(),
      eTag: versionText,
      versionId: versionText,
      sequencer: z.string().nullish(),
    }),
  }),
});
/** Records of one message. */
const MOST = 1_000;
/** The body of a notification: of S3, and of MinIO, which adds `EventName` and `Key` beside the records. */
export const s3Message = z.union([
  z.object({ Records: z.array(record).max(MOST) }),
  z.object({ Event: z.literal("s3:TestEvent") }),
]);
/** What tells a notification of S3 or MinIO, whatever else is wrong with it. */
export const s3Hallmark = z.object({
  Records: z
    .array(z.object({ eventSource, s3: z.looseObject({}) }))
    .min(1)
    .max(MOST),
});

/**
 * Reads a notification of S3 or MinIO: records of version 2.x, any number in a message. What S3 sends to test a new
 * configuration is taken note of and dropped. One bad record refuses the whole message; `parseParts` reads the others.
 *
 * @throws {EventError} EVENT_INVALID, saying where in the message and what was expected.
 */
export function parseS3(body: unknown, receivedAt: Received): Parsed {
  const message = readShape(s3Message, body, "expected Records[] or s3:TestEvent");
  if ("Event" in message) return { events: [], ignored: 1 };
  const events = message.Records.flatMap((each, index) => parseRecord(each, `Records[${index}]`, receivedAt));
  return { events, ignored: message.Records.length - events.length };
}

function parseRecord(each: z.infer<typeof record>, where: string, receivedAt: Received): PhotoEvent[] {
  // MinIO writes the prefix that S3 leaves out
  const name = each.eventName.replace(/^s3:/, "");
  const kind = kindOf(name);
  if (!kind) return [];
  const { bucket, object } = each.s3;
  const key = decodeFormKey(object.key, `${where}.s3.object.key`);
  if (isFolder(key)) return [];
  const order = checkSequencer(object.sequencer, `${where}.s3.object.sequencer`);
  if (kind === "created" && order === null) {
    throw new EventError(
      "EVENT_INVALID",
      `${where}.s3.object.sequencer: expected one, as every record of a new object has`,
    );
  }
  return [
    {
      kind,
      store: "s3",
      bucket: bucket.name,
      key,
      version:
        kind === "created"
          ? createdVersion(object.versionId, object.eTag, order)
          : removedVersion(/:(DeleteMarkerCreated|DeleteAllVersions)$/.test(name), object.versionId),
      order,
      receivedAt: saidAt(each.eventTime, receivedAt),
      known: {},
    },
  ];
}

/** MinIO counts the tags and locks of a version, which may be an old one, among what is created. */
function kindOf(name: string): PhotoEvent["kind"] | undefined {
  if (/^ObjectCreated:(PutTagging|DeleteTagging|PutRetention|PutLegalHold)$/.test(name)) return undefined;
  if (name.startsWith("ObjectCreated:")) return "created";
  if (/^(ObjectRemoved|LifecycleExpiration):(Delete|DeleteMarkerCreated|DeleteAllVersions)$/.test(name))
    return "removed";
  return undefined;
}
