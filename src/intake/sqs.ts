import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { asError, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { MessageQueue } from "./listen.ts";
import type { Message } from "./received-messages.ts";

interface SqsSettings {
  /** "" is AWS itself: the host of the queue's URL. */
  sqsEndpoint: string;
  /** Of queues whose URL names no region. */
  s3Region: string;
  /** Seconds for which a message that was received is hidden from others. */
  sqsVisibilityS: number;
  /** How many receives are in flight at once. */
  sqsReceives: number;
}

/**
 * A queue of SQS, or of a server that speaks its protocol. Credentials come from where the AWS SDK looks.
 *
 * @param silenceMs milliseconds for which an answer may not begin, or not go on: a receive waits for messages meanwhile.
 */
export function openSqsQueue(
  url: string,
  settings: SqsSettings,
  silenceMs = (WAIT_S + 10) * 1_000,
): MessageQueue & Closable {
  const { sqsEndpoint, sqsVisibilityS, sqsReceives } = settings;
  const sockets = { maxSockets: 2 * sqsReceives, keepAlive: true };
  const sqs = new SQSClient({
    region: regionOf(url) ?? settings.s3Region,
    // that of the region may have another name, and the SDK would say so in a line of plain text each time
    endpoint: sqsEndpoint || new URL(url).origin,
    // which the environment may ask for, and the SDK refuses beside an endpoint: the queue's URL says where to go
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    requestHandler: {
      connectionTimeout: 5_000,
      requestTimeout: silenceMs,
      throwOnRequestTimeout: true,
      // the one above ends with the first bytes
      socketTimeout: silenceMs,
      httpAgent: sockets,
      httpsAgent: sockets,
    },
  });
  const named = (messages: readonly Message[]) =>
    messages.map(({ receipt }, index) => ({ Id: String(index), ReceiptHandle: receipt }));
  return {
    source: `sqs:${new URL(url).pathname.split("/").at(-1)}`,
    async receive(stop) {
      const request = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: MOST,
        WaitTimeSeconds: WAIT_S,
        VisibilityTimeout: sqsVisibilityS,
        MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
      });
      const { Messages = [] } = await sqs.send(request, { abortSignal: stop }).catch((thrown: unknown) => {
        if (stop.aborted) throw thrown;
        return unavailable(thrown);
      });
      return Messages.map(({ MessageId = "", ReceiptHandle = "", Body = "", Attributes }) => ({
        id: MessageId,
        receipt: ReceiptHandle,
        body: Body,
        receives: Number(Attributes?.ApproximateReceiveCount ?? 1),
        sentAt: new Date(Number(Attributes?.SentTimestamp ?? Date.now())),
      }));
    },
    async hide(messages) {
      const Entries = named(messages).map((each) => ({ ...each, VisibilityTimeout: sqsVisibilityS }));
      const request = new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries });
      // SQS hides none for longer than twelve hours since it was received
      requireAll((await sqs.send(request).catch(unavailable)).Failed, "hidden");
    },
    async remove(messages) {
      const request = new DeleteMessageBatchCommand({ QueueUrl: url, Entries: named(messages) });
      requireAll((await sqs.send(request).catch(unavailable)).Failed, "deleted");
    },
    async close() {
      sqs.destroy();
    },
  };
}

function unavailable(thrown: unknown): never {
  const { name, message } = asError(thrown);
  throw new UpstreamError("SOURCE_UNAVAILABLE", `SQS: ${name}: ${message}`, { cause: thrown });
}

/** A batch is answered with 200 whatever became of its messages. */
function requireAll(failed: readonly BatchResultErrorEntry[] = [], what: "hidden" | "deleted"): void {
  const [first] = failed;
  if (!first) return;
  const why = `${first.Code} ${first.Message ?? ""}`;
  throw new Error(`${failed.length} messages could not be ${what}, and will come back: ${why}`);
}

/** The region that a queue's URL names, in either of the forms that AWS gives. */
export function regionOf(url: string): string | undefined {
  const { hostname } = new URL(url);
  const [, region, older] =
    /^(?:sqs\.([\w-]+)|([\w-]+)\.queue)\.amazonaws\.com(?:\.cn)?$/.exec(hostname) ?? [];
  return region ?? older;
}

/** The most that SQS gives at once, and the longest that it waits for one. */
const MOST = 10;
const WAIT_S = 20;
