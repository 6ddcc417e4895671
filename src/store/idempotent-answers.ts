import { type Pool, query } from "./pool.ts";

/** What was answered to a request with an Idempotency-Key. */
export interface IdempotentAnswer {
  /** SHA-256 of the request's body. */
  request: Buffer;
  status: number;
  answer: unknown;
}

export async function findAnswer(
  db: Pool,
  tokenId: string,
  key: string,
): Promise<IdempotentAnswer | undefined> {
  const rows = await query<IdempotentAnswer>(db, {
    name: "find_answer",
    text: "select request, status, answer from idempotent_answers where token_id = $1 and key = $2",
    values: [tokenId, key],
  });
  return rows[0];
}

/** Keeps an answer; of two at once the first is kept. */
export async function keepAnswer(
  db: Pool,
  tokenId: string,
  key: string,
  { request, status, answer }: IdempotentAnswer,
): Promise<void> {
  await query(db, {
    name: "keep_answer",
    text: `insert into idempotent_answers (token_id, key, request, status, answer) values ($1, $2, $3, $4, $5)
      on conflict do nothing`,
    values: [tokenId, key, request, status, JSON.stringify(answer)],
  });
}

/** Forgets answers that are older than a day. */
export async function forgetAnswers(db: Pool): Promise<void> {
  await query(db, {
    name: "forget_answers",
    text: "delete from idempotent_answers where answered_at < now() - interval '1 day'",
  });
}
