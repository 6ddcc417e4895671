import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Received {
  path: string;
  headers: Record<string, string>;
  body: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it was sent
  message: any;
}

/** A receiver of webhooks over real HTTP. */
export interface Receiver {
  url: string;
  port: number;
  /** Everything that came, in order, whatever was answered. */
  received: Received[];
  /** How the next ones are answered; at first 204. */
  answer: (response: ServerResponse, received: Received, request: IncomingMessage) => void;
  /** Waits until as many have come. */
  got(count: number): Promise<Received[]>;
  close(): Promise<void>;
}

/** @param onPort 0: any free one. */
export async function startReceiver(onPort = 0): Promise<Receiver> {
  let waiting: { count: number; resolve(received: Received[]): void }[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const headers = request.headers as Record<string, string>;
      const received = { path: request.url ?? "", headers, body, message: body && JSON.parse(body) };
      receiver.received.push(received);
      receiver.answer(response, received, request);
      waiting = waiting.filter(({ count, resolve }) => {
        if (receiver.received.length < count) return true;
        resolve(receiver.received);
        return false;
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(onPort, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    received: [],
    answer: (response) => void response.writeHead(204).end(),
    got: (count) =>
      new Promise((resolve) => {
        if (receiver.received.length >= count) resolve(receiver.received);
        else waiting.push({ count, resolve });
      }),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return receiver;
}
