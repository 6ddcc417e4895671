import {
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { type FauxqsServer, startFauxqs } from "fauxqs";
import { expect } from "vitest";

export interface Sqs {
  readonly server: FauxqsServer;
  url: string;
  /** Puts messages into the queue, and answers with their ids. */
  send(...bodies: unknown[]): Promise<string[]>;
  /** Messages that the queue holds: those that wait, and those that somebody has. */
  held(): { waiting: number; hidden: number };
  /** How often the messages that it holds were delivered. */
  receives(): number[];
  /** When the messages that somebody has become visible again, in milliseconds. */
  deadlines(): number[];
  /** Delivers what waits that often, to nobody. */
  deliver(times: number): Promise<void>;
  /** After so many deliveries a message goes to that queue. */
  redrive(arn: string, deliveries: number): Promise<void>;
  /** Stops the server and starts it again, empty. */
  restart(meanwhile: () => Promise<void>): Promise<void>;
  env: Record<string, string>;
  close(): Promise<void>;
}

/** A server of SQS and SNS with the queue `uploads`. */
export async function openSqs(): Promise<Sqs> {
  let server = await startFauxqs({ port: 0, logger: false });
  const { queueUrl: url } = server.createQueue("uploads");
  const client = new SQSClient({ endpoint: server.address, region: "us-east-1" });
  const look = () => server.inspectQueue("uploads")!.messages;
  return {
    get server() {
      return server;
    },
    url,
    async send(...bodies) {
      const sent = bodies.map((body) => {
        const MessageBody = typeof body === "string" ? body : JSON.stringify(body);
        return client.send(new SendMessageCommand({ QueueUrl: url, MessageBody }));
      });
      return (await Promise.all(sent)).map(({ MessageId }) => MessageId!);
    },
    async deliver(times) {
      const receive = new ReceiveMessageCommand({
        QueueUrl: url,
        VisibilityTimeout: 0,
        MaxNumberOfMessages: 10,
      });
      for (let n = 0; n < times; n++) {
        await expect.poll(async () => (await client.send(receive)).Messages ?? [], settled).not.toEqual([]);
      }
    },
    held() {
      const { ready, inflight } = look();
      // the server takes note that a message is visible again when somebody asks for it
      const hidden = inflight.filter(({ visibilityDeadline }) => visibilityDeadline > Date.now()).length;
      return { waiting: ready.length + inflight.length - hidden, hidden };
    },
    receives: () =>
      [...look().ready, ...look().inflight.map(({ message }) => message)].map(
        ({ approximateReceiveCount }) => approximateReceiveCount,
      ),
    deadlines: () => look().inflight.map(({ visibilityDeadline }) => visibilityDeadline),
    async redrive(deadLetterTargetArn, maxReceiveCount) {
      const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: String(maxReceiveCount) });
      await client.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedrivePolicy } }));
    },
    async restart(meanwhile) {
      const { port } = server;
      await server.stop();
      await meanwhile();
      server = await startFauxqs({ port, logger: false });
      server.createQueue("uploads");
    },
    env: { MAITRED_SQS_QUEUES: url, MAITRED_SQS_ENDPOINT: server.address },
    async close() {
      client.destroy();
      await server.stop();
    },
  };
}

/** What a queue holds whose messages were all taken. */
export const gone = { waiting: 0, hidden: 0 };
/** How long is waited for it. */
export const settled = { timeout: 15_000, interval: 50 };
