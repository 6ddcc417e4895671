import { createHash } from "node:crypto";
import { expect } from "vitest";
import { forgetAnswers, freeKey, keepAnswer, takeKey } from "../../src/store/idempotent-answers.ts";
import { addToken } from "../../src/store/tokens.ts";
import { test as base, type Database } from "../fixtures.ts";

const test = base.extend<{ tokens: readonly [string, string] }>({
  tokens: async ({ db }, use) => {
    const ids = ["a".repeat(12), "b".repeat(12)] as const;
    for (const id of ids)
      await addToken(db.pool, { id, name: id, hash: Buffer.alloc(32), scopes: ["ingest"] });
    await use(ids);
  },
});

const first = createHash("sha256").update("first").digest();
const second = createHash("sha256").update("second").digest();

async function age(db: Database, by: string): Promise<void> {
  await db.pool.query("update idempotent_answers set answered_at = answered_at - $1::interval", [by]);
}

test("a key is of the token that it came with: another's answer is nobody else's", async ({ db, tokens }) => {
  const [one, other] = tokens;
  await takeKey(db.pool, one, "k", first);
  await keepAnswer(db.pool, one, "k", first, { status: 202, answer: "of one" });
  expect(await takeKey(db.pool, other, "k", first)).toEqual({ request: first, answered: undefined });
  await keepAnswer(db.pool, other, "k", first, { status: 202, answer: "of the other" });
  const answered = { status: 202, answer: "of the other" };
  expect(await takeKey(db.pool, other, "k", first)).toEqual({ request: first, answered });
});

test("what is late for a key that went to another body leaves that body's alone", async ({ db, tokens }) => {
  const [token] = tokens;
  await takeKey(db.pool, token, "k", first);
  await age(db, "61 seconds");
  expect(await takeKey(db.pool, token, "k", second)).toEqual({ request: second, answered: undefined });
  await freeKey(db.pool, token, "k", first);
  expect(await takeKey(db.pool, token, "k", first)).toMatchObject({ request: second });
  const late = { status: 202, answer: "late" };
  expect(await keepAnswer(db.pool, token, "k", first, late)).toEqual(late);
  expect(await takeKey(db.pool, token, "k", second)).toEqual({ request: second, answered: undefined });
  const right = { status: 202, answer: "right" };
  await keepAnswer(db.pool, token, "k", second, right);
  // a request beside it was refused, and gives the key back
  await freeKey(db.pool, token, "k", second);
  expect(await takeKey(db.pool, token, "k", first)).toEqual({ request: second, answered: right });
});

test("an answer is kept for a day, and not for longer", async ({ db, tokens }) => {
  await takeKey(db.pool, tokens[0], "k", first);
  await keepAnswer(db.pool, tokens[0], "k", first, { status: 202, answer: "a" });
  const kept = () => db.pool.query("select from idempotent_answers").then(({ rows }) => rows.length);
  await age(db, "23 hours");
  await forgetAnswers(db.pool);
  expect(await kept()).toBe(1);
  await age(db, "2 hours");
  await forgetAnswers(db.pool);
  expect(await kept()).toBe(0);
});
