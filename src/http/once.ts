import { createHash } from "node:crypto";
import { ModerationError } from "../errors.ts";
import { HttpProblem } from "./problem.ts";

/** Keys that callers make up, each token its own, so that what they send twice is done once. */
export interface IdempotencyKeys {
  /** Takes an Idempotency-Key; the request that has it, which may be another, and what that was answered. */
  takeKey(
    tokenId: string,
    key: string,
    request: Buffer,
  ): Promise<{ request: Uint8Array; answered: Kept | undefined }>;
  /** Keeps what a request was answered that took its key; the answer that stands, which one beside it may have had first. */
  keepAnswer(tokenId: string, key: string, request: Buffer, answer: Kept): Promise<Kept>;
  /** Gives the key of a request back that was refused. */
  freeKey(tokenId: string, key: string, request: Buffer): Promise<void>;
}

interface Kept {
  status: number;
  answer: unknown;
}
type Handle<Deps> = (deps: Deps, asked: Asked) => Promise<Answer>;
interface Asked {
  body: unknown;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  tokenId: string;
}
interface Answer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

/** Answers a request with an Idempotency-Key as that key was answered before. */
export function once<Deps extends IdempotencyKeys>(handle: Handle<Deps>): Handle<Deps> {
  return async (deps, asked) => {
    const key = asked.headers["idempotency-key"];
    if (key === undefined) return handle(deps, asked);
    if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new HttpProblem(400, "Idempotency-Key: expected 1 to 255 visible ASCII characters");
    }
    const request = digestOf(asked.body);
    const { tokenId } = asked;
    const held = await deps.takeKey(tokenId, key, request);
    if (!request.equals(held.request)) {
      throw new HttpProblem(422, "Idempotency-Key: it came with another body before; use a new one");
    }
    const { answered } = held;
    if (answered) {
      return { status: answered.status, body: answered.answer, headers: { "idempotent-replayed": "true" } };
    }
    const answer = await handle(deps, asked).catch(async (thrown: unknown) => {
      // whoever mends the body may use the key again; what may be better later is expected again as it is
      if (thrown instanceof ModerationError && !thrown.retry) await deps.freeKey(tokenId, key, request);
      throw thrown;
    });
    const kept = await deps.keepAnswer(tokenId, key, request, { status: answer.status, answer: answer.body });
    return { ...answer, status: kept.status, body: kept.answer };
  };
}

function digestOf(body: unknown): Buffer {
  try {
    return createHash("sha256")
      .update(JSON.stringify(body) ?? "")
      .digest();
  } catch (thrown) {
    // what can be read may be nested more deeply than what can be written
    if (thrown instanceof RangeError) throw new HttpProblem(400, "the body is nested too deeply");
    throw thrown;
  }
}
