import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { ConfigError } from "../errors.ts";
import { HttpProblem, PROBLEM_TYPE, problemOf } from "./problem.ts";

/** How long a request may take to arrive, however slowly it is sent. */
export interface Timeouts {
  headerMs: number;
  requestMs: number;
  /** Longest that nothing moves on a connection, such as an answer that is not read. */
  idleMs: number;
  /** How often it is looked who is late. */
  lookMs: number;
}

export interface Address {
  host: string;
  /** 0: any free one. */
  port: number;
  /** Whether any free port will do where this one is in use; false unless given. */
  orAnyFree?: boolean;
}

/** What a Fastify server is made with, so that nobody sends slowly, or much before a body, or never reads. */
export function boundedServer({ headerMs, requestMs, idleMs, lookMs }: Timeouts = PATIENCE): object {
  return {
    requestTimeout: requestMs,
    connectionTimeout: idleMs,
    // it would be no problem document
    return503OnClosing: false,
    http: { headersTimeout: headerMs, connectionsCheckingInterval: lookMs, maxHeaderSize: 16_384 },
  };
}

/**
 * Listens, and returns the URL with the port that it got.
 *
 * @param setting the name of the port's setting, for the message.
 * @throws {ConfigError} where the address cannot be listened on.
 */
export async function listen(app: FastifyInstance, address: Address, setting: string): Promise<string> {
  const { host, port, orAnyFree = false } = address;
  try {
    return await app.listen({ host, port });
  } catch (thrown) {
    const cause = thrown as NodeJS.ErrnoException;
    const busy = cause.code === "EADDRINUSE";
    if (busy && orAnyFree && port !== 0) return listen(app, { host, port: 0 }, setting);
    const how = busy
      ? `${setting}: port ${port} of ${host} is in use: end what uses it, or set another one (0: any free one)`
      : `MAITRED_HOST, ${setting}: ${cause.message}`;
    throw new ConfigError(how, { cause });
  }
}

/**
 * Bounds the connections of a server that is about to listen, and its end: requests that are half sent do not hold it up
 * for longer than a few seconds, and those that come now are refused. Beyond the bound new connections are closed at once,
 * and so is one that asks on and on before it has its answers, which are kept for it meanwhile.
 */
export function boundConnections(app: FastifyInstance): void {
  app.server.maxConnections = MAX_CONNECTIONS;
  const unanswered = new WeakMap<Socket, number>();
  let ending = false;
  app.addHook("onRequest", async ({ raw: { socket } }, reply) => {
    const count = (unanswered.get(socket) ?? 0) + 1;
    unanswered.set(socket, count);
    if (count > MAX_UNANSWERED) {
      socket.destroy();
      reply.hijack();
    } else if (ending) {
      throw new HttpProblem(503, "this process ends: another may answer", { "retry-after": ENDING_S });
    }
  });
  app.addHook("onResponse", async ({ raw: { socket } }) => {
    unanswered.set(socket, (unanswered.get(socket) ?? 0) - 1);
  });
  app.addHook("preClose", async () => {
    ending = true;
    setTimeout(() => app.server.closeAllConnections(), LAST_WORDS_MS).unref();
  });
}

/**
 * Lets only so many bodies of strangers arrive at once: the one that has taken longest makes room for another. Were the others
 * refused, whoever sends slowly would keep out all who do not.
 */
export function limitBodiesInFlight(most: number): (request: IncomingMessage) => void {
  const arriving = new Set<IncomingMessage>();
  return (request) => {
    // its end was told before anybody listened
    if (request.destroyed) return;
    arriving.add(request);
    request.once("close", () => arriving.delete(request));
    const [oldest] = arriving;
    if (arriving.size <= most || !oldest) return;
    // now, as its close comes later than the next request may
    arriving.delete(oldest);
    oldest.destroy();
  };
}

/** Answers what was no HTTP, or came too slowly or with too long a header: nothing of Fastify has seen it. */
export function answerBroken(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, detail] = BROKEN[error.code ?? ""] ?? [400, "the request is not HTTP/1.1"];
  const problem = problemOf(status, detail);
  const body = JSON.stringify(problem);
  const head = `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${problem.title}\r\n${head}\r\n\r\n${body}`, () => socket.destroy());
}

const BROKEN: Readonly<Record<string, [number, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "the request did not arrive in time"],
  HPE_HEADER_OVERFLOW: [431, "the header is too long"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "the extensions of a chunk are too long"],
};
const PATIENCE: Timeouts = { headerMs: 20_000, requestMs: 60_000, idleMs: 120_000, lookMs: 5_000 };
const MAX_CONNECTIONS = 4_000;
const MAX_UNANSWERED = 16;
const LAST_WORDS_MS = 5_000;
const ENDING_S = "5";
