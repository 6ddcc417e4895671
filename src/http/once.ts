import { createHash } from "node:crypto";
import { ModerationError } from "../errors.ts";
import { HttpProblem } from "./problem.ts";
import type { Route } from "./route.ts";

/** Answers a request with an Idempotency-Key as that key was answered before. */
export function once(handle: Route["handle"]): Route["handle"] {
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
