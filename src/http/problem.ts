import { STATUS_CODES } from "node:http";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { ModerationError } from "../errors.ts";

/** An answer that is not what was asked for, as RFC 9457 has it. */
export const problem = z
  .object({
    title: z.string().describe("what is wrong, the same for every such answer"),
    status: z.int().describe("the HTTP status"),
    detail: z.string().describe("what is wrong here, and where the caller can mend it, how"),
    code: z.string().optional().describe("a code of maitred that is never renamed"),
  })
  .describe("RFC 9457 problem details");
type Problem = z.infer<typeof problem>;

/** Thrown by a route whose answer is a problem. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Why, in a word that is counted. */
  readonly reason: string;
  /** What a program is to know of it. */
  readonly code: string | undefined;

  constructor(
    status: number,
    detail: string,
    headers: Record<string, string> = {},
    reason = reasonOf(status),
    code?: string,
  ) {
    super(detail);
    this.status = status;
    this.headers = headers;
    this.reason = reason;
    this.code = code;
  }
}

export function problemOf(status: number, detail: string, code?: string): Problem {
  return { title: STATUS_CODES[status] ?? "Unknown", status, detail, ...(code && { code }) };
}

/** The word for answers of this status that have none of their own. */
function reasonOf(status: number): string {
  return REASONS[status] ?? (status >= 500 ? "failure" : "invalid");
}

/** Who hears of what is answered so. */
interface Told {
  /** Why, in a word that is counted. */
  refused(reason: string): void;
  /** What was answered with 5xx. */
  failed(error: Error): void;
}

/** Answers with a problem whatever was thrown: what the caller can mend in its own words, and nothing of what only a log may say. */
export function answerThrown(error: Error, reply: FastifyReply, { refused, failed }: Told): FastifyReply {
  if (error instanceof HttpProblem) {
    refused(error.reason);
    return send(reply.headers(error.headers), error.status, error.message, error.code);
  }
  // what fastify itself refuses has one: a body that is too large, not JSON, or of another type
  const { statusCode } = error as { statusCode?: number };
  const failure = error instanceof ModerationError ? statusOf(error) : 500;
  const status = statusCode && statusCode >= 400 && statusCode < 500 ? statusCode : failure;
  refused(reasonOf(status));
  if (status >= 500) failed(error);
  if (!(error instanceof ModerationError)) {
    return status === 500
      ? send(reply, status, "a bug: see the log", "INTERNAL")
      : send(reply, status, status === 415 ? "expected Content-Type: application/json" : error.message);
  }
  if (status < 500) return send(reply, status, error.message, error.code);
  // the message names servers, which is nobody's business but the log's; a store's is said of its photos that failed, too
  const detail =
    error.code === "STORE_UNAVAILABLE"
      ? `${error.code}: ${error.message}`
      : "a server is away for now: try again";
  return send(reply.header("retry-after", AWAY_S), status, detail, error.code);
}

function statusOf(error: ModerationError): number {
  if (error.retry) return 503;
  return error.code === "EVENT_REFUSED" ? 403 : 400;
}

function send(reply: FastifyReply, status: number, detail: string, code?: string): FastifyReply {
  // as bytes, because fastify would add a charset to text, which the type does not have
  const bytes = Buffer.from(JSON.stringify(problemOf(status, detail, code)));
  return reply.code(status).type(PROBLEM_TYPE).send(bytes);
}

export const PROBLEM_TYPE = "application/problem+json";

const REASONS: Readonly<Record<number, string>> = {
  401: "token",
  403: "scope",
  404: "unknown",
  405: "method",
  413: "size",
  415: "type",
  422: "key_reused",
  429: "rate",
  503: "unavailable",
};
const AWAY_S = "5";
