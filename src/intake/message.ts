import { EventError } from "../errors.ts";
import type { Parsed, Received } from "./event.ts";
import { parseEventBridge } from "./eventbridge.ts";
import { parseS3 } from "./s3.ts";
import { parseTold } from "./told.ts";

/**
 * Reads what a queue brought: a notification of S3 or MinIO, or an event of EventBridge, either of them bare or in the
 * envelope of SNS; or photos as `POST /v1/photos` takes them. Who may write to a queue is the queue's policy to say, so
 * nothing is asked of an envelope's signature here.
 *
 * @throws {EventError} EVENT_INVALID, saying where in the message and what was expected.
 */
export function parseMessage(body: string, receivedAt: Received): Parsed {
  const message = readJson(body, "the message");
  if (has(message, "Type") && has(message, "TopicArn")) return parseEnvelope(message, receivedAt);
  if (isNotification(message)) return parseNotification(message, receivedAt);
  if (Array.isArray(message) || has(message, "key")) return parseTold(message, receivedAt);
  throw new EventError(
    "EVENT_INVALID",
    "expected a notification of S3, an event of EventBridge, either of them alone or from SNS, or photos with bucket and key",
  );
}

/**
 * Reads a notification of S3 or MinIO, or an event of EventBridge.
 *
 * @throws {EventError} EVENT_INVALID, as above.
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

function parseEnvelope(envelope: object, receivedAt: Received): Parsed {
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
  return parseNotification(readJson(Message, "Message"), receivedAt);
}

function isNotification(message: unknown): boolean {
  return ["detail-type", "Records", "Event"].some((name) => has(message, name));
}

function has(value: unknown, name: string): value is object {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name);
}
