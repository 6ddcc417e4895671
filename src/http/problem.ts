import { STATUS_CODES } from "node:http";
import { z } from "zod";

/** An answer that is not what was asked for, as RFC 9457 has it. */
export const problem = z
  .object({
    title: z.string().describe("what is wrong, the same for every such answer"),
    status: z.int().describe("the HTTP status"),
    detail: z.string().describe("what is wrong here, and where the caller can mend it, how"),
    code: z.string().optional().describe("a code of maitred that is never renamed"),
  })
  .describe("RFC 9457 problem details");
export type Problem = z.infer<typeof problem>;

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
export function reasonOf(status: number): string {
  return REASONS[status] ?? (status >= 500 ? "failure" : "invalid");
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
