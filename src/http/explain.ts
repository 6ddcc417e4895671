import type { FastifyReply } from "fastify";
import { ModerationError } from "../errors.ts";
import { HttpProblem, PROBLEM_TYPE, problemOf, reasonOf } from "./problem.ts";

/** Who hears of what is answered so. */
export interface Explained {
  /** Why, in a word that is counted. */
  refused(reason: string): void;
  /** What was answered with 5xx. */
  failed(error: Error): void;
}

/** Answers whatever was thrown as a problem: what the caller can mend in its own words, and nothing of what only a log may say. */
export function explain(error: Error, reply: FastifyReply, { refused, failed }: Explained): FastifyReply {
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

const AWAY_S = "5";
