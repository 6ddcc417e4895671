import type { Kept } from "../http/route.ts";
import { type Pool, query } from "./pool.ts";

/**
 * Takes a key for a request, unless it is another's. One whose request was never answered is free again after a minute:
 * its process died, or what it needed was away.
 *
 * @param request SHA-256 of its body.
 * @returns what the key is of: this request, unless another was first; with its answer, once there is one.
 */
export async function takeKey(
  db: Pool,
  tokenId: string,
  key: string,
  request: Buffer,
): Promise<{ request: Buffer; answered: Kept | undefined }> {
  for (;;) {
    const taken = await query(db, {
      name: "take_key",
      text: `insert into idempotent_answers as a (token_id, key, request) values ($1, $2, $3)
        on conflict (token_id, key) do update set request = excluded.request, answered_at = now()
          where a.answer is null and (a.request = excluded.request or a.answered_at < now() - interval '1 minute')
        returning true`,
      values: [tokenId, key, request],
    });
    if (taken.length > 0) return { request, answered: undefined };
    const [row] = await query<{ request: Buffer; status: number | null; answer: unknown }>(db, {
      name: "find_answer",
      text: "select request, status, answer from idempotent_answers where token_id = $1 and key = $2",
      values: [tokenId, key],
    });
    // it was given back between the two
    if (!row) continue;
    const { status, answer } = row;
    return { request: row.request, answered: status === null ? undefined : { status, answer } };
  }
}

/** Keeps the answer to a request that took its key; of two at once the first is kept. Returns the one that stands. */
export async function keepAnswer(
  db: Pool,
  tokenId: string,
  key: string,
  request: Buffer,
  { status, answer }: Kept,
): Promise<Kept> {
  const [kept] = await query<Kept>(db, {
    name: "keep_answer",
    text: `update idempotent_answers
      set status = coalesce(status, $4), answer = coalesce(answer, $5), answered_at = case when answer is null then now() else answered_at end
      where token_id = $1 and key = $2 and request = $3 returning status, answer`,
    values: [tokenId, key, request, status, JSON.stringify(answer)],
  });
  // none where the key went to another body, a minute later
  return kept ?? { status, answer };
}

export async function freeKey(db: Pool, tokenId: string, key: string, request: Buffer): Promise<void> {
  await query(db, {
    name: "free_key",
    text: "delete from idempotent_answers where token_id = $1 and key = $2 and request = $3 and answer is null",
    values: [tokenId, key, request],
  });
}

/** Forgets answers that are older than a day. */
export async function forgetAnswers(db: Pool): Promise<void> {
  await query(db, {
    name: "forget_answers",
    text: "delete from idempotent_answers where answered_at < now() - interval '1 day'",
  });
}
