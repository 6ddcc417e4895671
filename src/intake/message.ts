import { asError, EventError } from "../errors.ts";
import type { Parsed, Received } from "./event.ts";
import { parseEventBridge } from "./eventbridge.ts";
import { gcsHallmark, parseGcs } from "./gcs.ts";
import { parsePhotoList } from "./photo-list.ts";
import { parseS3 } from "./s3.ts";

/** What a message says, and how that is read. */
export interface Opened {
  said: unknown;
  /** @throws {EventError} EVENT_INVALID, saying where in the message and what was expected. */
  parse(said: unknown, receivedAt: Received): Parsed;
}

/** What is understood of a message, and why not all of it is, where that is so. */
type PartlyParsed = Parsed & { error?: Error };

/**
 * Reads what a queue brought, or what was put aside: a notification of S3 or MinIO, or an event of EventBridge, either of them bare or in the
 * envelope of SNS; a notification of Cloud Storage; or photos as `POST /v1/photos` takes them. Who may write to a queue is the queue's
 * policy to say, so nothing is asked of an envelope's signature here. Never throws.
 */
export function parseEach(body: string, receivedAt: Received): PartlyParsed {
  let opened: Opened;
  try {
    opened = open(body);
  } catch (thrown) {
    return { events: [], ignored: 0, error: asError(thrown) };
  }
  return parseParts(opened, receivedAt);
}

/** Reads a message of which one record or photo that is wrong keeps back no other. Never throws. */
export function parseParts({ said, parse }: Opened, receivedAt: Received): PartlyParsed {
  try {
    return parse(said, receivedAt);
  } catch (thrown) {
    const parts = partsOf(said).flatMap((part) => {
      try {
        return parse(part, receivedAt);
      } catch {
        return [];
      }
    });
    const events = parts.flatMap((part) => part.events);
    const ignored = parts.reduce((sum, part) => sum + part.ignored, 0);
    return { events, ignored, error: asError(thrown) };
  }
}

/** What a message says, without the envelope of SNS. */
function open(body: string): Opened {
  const message = readJson(body, "the message");
  if (has(message, "Type") && has(message, "TopicArn"))
    return { said: openEnvelope(message), parse: parseNotification };
  if (isNotification(message)) return { said: message, parse: parseNotification };
  if (gcsHallmark.safeParse(message).success) return { said: message, parse: parseGcs };
  if (Array.isArray(message) || has(message, "key")) return { said: message, parse: parsePhotoList };
  throw new EventError(
    "EVENT_INVALID",
    "expected a notification of S3, an event of EventBridge, either of them alone or from SNS, or photos with bucket and key",
  );
}

/** Each of several photos or records alone, in the form that all of them had; none of more than a message may hold. */
function partsOf(said: unknown): unknown[] {
  const list = has(said, "Records") ? (said as { Records: unknown }).Records : said;
  if (!Array.isArray(list) || list.length > MOST) return [];
  return list.map((each) => (list === said ? [each] : { Records: [each] }));
}

/**
 * Reads a notification of S3 or MinIO, or an event of EventBridge.
 *
 * @throws {EventError} EVENT_INVALID, as `Opened.parse`.
 */
export function parseNotification(message: unknown, receivedAt: Received): Parsed {
  if (!isNotification(message)) {
    throw new EventError("EVENT_INVALID", "expected a notification of S3, or an event of EventBridge");
  }
  return has(message, "detail-type") ? parseEventBridge(message, receivedAt) : parseS3(message, receivedAt);
}

/** @throws {EventError} EVENT_INVALID where it is no JSON. */
export function readJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EventError("EVENT_INVALID", `${what}: expected JSON`, { cause });
  }
}

function openEnvelope(envelope: object): unknown {
  const { Type, Message } = envelope as { Type: unknown; Message?: unknown };
  if (Type === "SubscriptionConfirmation") {
    throw new EventError(
      "EVENT_INVALID",
      "Type: SNS asks to confirm a subscription of this queue: visit the SubscribeURL if it is yours",
    );
  }
  if (Type !== "Notification" || typeof Message !== "string") {
    throw new EventError("EVENT_INVALID", "expected a Notification of SNS with a Message");
  }
  return readJson(Message, "Message");
}

function isNotification(message: unknown): boolean {
  return ["detail-type", "Records", "Event"].some((name) => has(message, name));
}

function has(value: unknown, name: string): value is object {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name);
}

/** Records, or photos, of one message. */
const MOST = 1_000;
