import { type KeyObject, verify } from "node:crypto";
import { z } from "zod";
import { EventError } from "../errors.ts";
import { readShape } from "./shape.ts";

/** What is read of a message that SNS posts; whatever else it holds is ignored, and is not signed. */
export const snsMessage = z.object({
  Type: z.enum(["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]),
  MessageId: z.string(),
  TopicArn: z.string(),
  Subject: z.string().nullish(),
  Message: z.string(),
  Timestamp: z.iso.datetime({ offset: true }),
  SignatureVersion: z.enum(["1", "2"]),
  Signature: z.string(),
  SigningCertURL: z.string(),
  Token: z.string().optional(),
  SubscribeURL: z.string().optional(),
});
type SnsMessage = z.infer<typeof snsMessage>;

interface SnsRules {
  /** ARNs of the topics that are heard. */
  topics: readonly string[];
  /** Seconds after which a message is too old to be believed. */
  maxAgeS: number;
}

interface SnsNeighbours {
  /** The public key of the certificate at this address, whose host was checked. */
  signingKey(url: URL): Promise<KeyObject>;
  /** Visits the address that confirms a subscription, whose host was checked. */
  confirm(url: URL): Promise<void>;
  /** A subscription of the topic was confirmed, or ended. */
  told(about: { topic: string; type: "SubscriptionConfirmation" | "UnsubscribeConfirmation" }): void;
}

/**
 * Opens a message of SNS: nothing of it is believed, and nothing is fetched for it, before its topic, age and addresses
 * were checked, and then its signature. A subscription is confirmed here.
 *
 * @returns the text that was published and the message's id, or undefined where the message was about the subscription itself.
 * @throws {EventError} EVENT_INVALID where it is no message of SNS, EVENT_REFUSED where it is not to be believed.
 * @throws {UpstreamError} SENDER_UNAVAILABLE where SNS could not be asked.
 */
export async function openSns(
  body: unknown,
  rules: SnsRules,
  neighbours: SnsNeighbours,
  now: Date,
): Promise<{ id: string; text: string } | undefined> {
  const message = readShape(snsMessage, body, "expected a message of SNS");
  checkTopic(message.TopicArn, rules.topics);
  checkAge(message.Timestamp, rules.maxAgeS, now);
  // a query would make many addresses of one certificate
  const certificate = snsAddress(message.SigningCertURL, "SigningCertURL", /^\/[\w-]+\.pem$/);
  const subscribe =
    message.Type === "SubscriptionConfirmation"
      ? snsAddress(message.SubscribeURL ?? "", "SubscribeURL", /^\/\?/)
      : undefined;
  if (!isSigned(message, await neighbours.signingKey(certificate))) {
    throw refused("Signature: it is not that of this message");
  }
  if (message.Type === "Notification") return { id: message.MessageId, text: message.Message };
  if (subscribe) await neighbours.confirm(subscribe);
  neighbours.told({ topic: message.TopicArn, type: message.Type });
  return undefined;
}

/** @throws {EventError} EVENT_REFUSED unless this topic is heard. */
export function checkTopic(topic: unknown, topics: readonly string[]): void {
  if (typeof topic === "string" && topics.includes(topic)) return;
  throw refused(
    `TopicArn: ${JSON.stringify(topic ?? "").slice(0, 200)} is not heard: MAITRED_SNS_TOPICS names those that are`,
  );
}

/** The lines that SNS signs: names and values of some fields, in this order, those that are absent left out. */
function canonicalText(message: SnsMessage): string {
  const names =
    message.Type === "Notification"
      ? (["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"] as const)
      : (["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"] as const);
  return names
    .filter((name) => typeof message[name] === "string")
    .map((name) => `${name}\n${message[name]}\n`)
    .join("");
}

function isSigned(message: SnsMessage, key: KeyObject): boolean {
  const hash = message.SignatureVersion === "1" ? "sha1" : "sha256";
  const signature = Buffer.from(message.Signature, "base64");
  // another kind of key would ask for another kind of signature
  return key.asymmetricKeyType === "rsa" && verify(hash, Buffer.from(canonicalText(message)), key, signature);
}

function checkAge(timestamp: string, maxAgeS: number, now: Date): void {
  const ageS = (now.valueOf() - new Date(timestamp).valueOf()) / 1_000;
  if (ageS > maxAgeS) {
    throw refused(
      `Timestamp: ${timestamp} is more than the ${maxAgeS} s ago that MAITRED_SNS_MAX_AGE_S allows`,
    );
  }
  if (ageS < -MAX_AHEAD_S) throw refused(`Timestamp: ${timestamp} is more than ${MAX_AHEAD_S} s ahead`);
}

/**
 * An address of SNS itself. The region's shape keeps out what is nobody's region: at `sns.s3-us-west-2.amazonaws.com`
 * lies a bucket that somebody named sns.
 */
function snsAddress(text: string, where: string, path: RegExp): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url?.protocol === "https:" &&
    /^sns\.[a-z]{2}(-[a-z]+){1,3}-\d{1,2}\.amazonaws\.com(\.cn)?$/.test(url.hostname) &&
    url.port === "" &&
    url.username === "" &&
    url.password === "" &&
    path.test(url.pathname + url.search)
  ) {
    return url;
  }
  throw refused(
    `${where}: expected an address as https://sns.REGION.amazonaws.com has them, got ${JSON.stringify(text.slice(0, 200))}`,
  );
}

function refused(message: string): EventError {
  return new EventError("EVENT_REFUSED", message);
}

const MAX_AHEAD_S = 300;
