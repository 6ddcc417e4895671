import { z } from "zod";
import { EventError } from "../errors.ts";
import { createdVersion } from "../version.ts";
import {
  checkKey,
  checkSequencer,
  isFolder,
  type Parsed,
  type Received,
  removedVersion,
  saidAt,
} from "./event.ts";
import { bucketName, readShape, versionText } from "./shape.ts";

/** An event of S3 as EventBridge sends it; what else it holds is ignored. */
export const eventBridgeMessage = z.object({
  source: z.literal("aws.s3", {
    // what is no text may be nested more deeply than what can be written
    error: ({ input }) =>
      typeof input === "string"
        ? `expected aws.s3, got ${JSON.stringify(input).slice(0, 100)}`
        : "expected aws.s3",
  }),
  "detail-type": z.string(),
  time: z.unknown().optional(),
  detail: z.unknown(),
});
/** What tells an event of S3, whatever else is wrong with it. */
export const eventBridgeHallmark = eventBridgeMessage.extend({ detail: z.looseObject({}) });
const detail = z.object({
  bucket: z.object({ name: bucketName }),
  object: z.object({
    key: z.string(),
    etag: versionText,
    "version-id": versionText,
    sequencer: z.string().nullish(),
  }),
  "deletion-type": z.string().nullish(),
});

/**
 * Reads one event of S3 that came through EventBridge, whose keys are not encoded. Events of S3 that neither make nor
 * delete an object are ignored.
 *
 * @throws {EventError} EVENT_INVALID, saying where in the message and what was expected.
 */
export function parseEventBridge(body: unknown, receivedAt: Received): Parsed {
  const message = readShape(eventBridgeMessage, body, "expected an event of EventBridge");
  const kind = KINDS.get(message["detail-type"]);
  if (!kind) return { events: [], ignored: 1 };
  const said = readShape(z.object({ detail }), body, "expected detail").detail;
  const { bucket, object } = said;
  const key = checkKey(object.key, "detail.object.key");
  if (isFolder(key)) return { events: [], ignored: 1 };
  const order = checkSequencer(object.sequencer, "detail.object.sequencer");
  if (kind === "created" && order === null) {
    throw new EventError(
      "EVENT_INVALID",
      "detail.object.sequencer: expected one, as every event of a new object has",
    );
  }
  const marker = said["deletion-type"] === "Delete Marker Created";
  return {
    events: [
      {
        kind,
        store: "s3",
        bucket: bucket.name,
        key,
        version:
          kind === "created"
            ? createdVersion(object["version-id"], object.etag, order)
            : removedVersion(marker, object["version-id"]),
        order,
        receivedAt: saidAt(message.time, receivedAt),
        known: {},
      },
    ],
    ignored: 0,
  };
}

const KINDS = new Map([
  ["Object Created", "created"],
  ["Object Deleted", "removed"],
] as const) as ReadonlyMap<string, "created" | "removed">;
