/** Messages as SNS posts them, signed as its documentation says, by a certificate made here. */
import { createSign, randomUUID } from "node:crypto";
import { generate } from "selfsigned";

export const TOPIC = "arn:aws:sns:eu-west-1:123456789012:uploads";
export const CERTIFICATE =
  "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";

export interface Signer {
  /** The certificate, as it lies at its address. */
  pem: string;
  /** The message with the signature of what it says, whatever it says. */
  sign(message: Record<string, unknown>): Record<string, unknown>;
}

export async function createSigner(from = "2020-01-01", to = "2100-01-01"): Promise<Signer> {
  const made = await generate([{ name: "commonName", value: "sns.amazonaws.com" }], {
    notBeforeDate: new Date(from),
    notAfterDate: new Date(to),
    keySize: 2048,
    algorithm: "sha256",
  });
  return {
    pem: made.cert,
    sign(message) {
      const signer = createSign(message["SignatureVersion"] === "2" ? "RSA-SHA256" : "RSA-SHA1");
      for (const name of message["Type"] === "Notification" ? OF_NOTIFICATIONS : OF_SUBSCRIPTIONS) {
        if (message[name] !== undefined) signer.update(`${name}\n${message[name]}\n`);
      }
      return { ...message, Signature: signer.sign(made.private, "base64") };
    },
  };
}

export function notification(
  published: unknown,
  over: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    Type: "Notification",
    MessageId: randomUUID(),
    TopicArn: TOPIC,
    Subject: "Amazon S3 Notification",
    Message: typeof published === "string" ? published : JSON.stringify(published),
    Timestamp: new Date().toISOString(),
    SignatureVersion: "1",
    SigningCertURL: CERTIFICATE,
    UnsubscribeURL: "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    ...over,
  };
}

export function subscription(
  type: "SubscriptionConfirmation" | "UnsubscribeConfirmation",
  over: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    Type: type,
    MessageId: randomUUID(),
    Token: "2336412f37",
    TopicArn: TOPIC,
    Message: `You have chosen to subscribe to the topic ${TOPIC}.\nTo confirm, visit the SubscribeURL.`,
    SubscribeURL: `https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${TOPIC}&Token=2336412f37`,
    Timestamp: new Date().toISOString(),
    SignatureVersion: "1",
    SigningCertURL: CERTIFICATE,
    ...over,
  };
}

const OF_NOTIFICATIONS = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
const OF_SUBSCRIPTIONS = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
