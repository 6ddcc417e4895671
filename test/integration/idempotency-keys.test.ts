import { createHash } from "node:crypto";
import { expect } from "vitest";
import { forgetAnswers, freeKey, keepAnswer, takeKey } from "../../src/store/idempotent-answers.ts";
import { addToken } from "../../src/store/tokens.ts";
import { type Answered, test as base } from "../api.ts";
import { BACKENDS, type Database } from "../fixtures.ts";

const test = base.extend<{ tokens: readonly [string, string] }>({
  tokens: async ({ db }, use) => {
    const ids = ["a".repeat(12), "b".repeat(12)] as const;
    for (const id of ids)
      await addToken(db.pool, { id, name: id, hash: Buffer.alloc(32), scopes: ["ingest"] });
    await use(ids);
  },
});

test("answers the same Idempotency-Key the same, and refuses it with another body", async ({ start }) => {
  const { post } = await start();
  const headers = { "idempotency-key": "upload-1" };
  const first = await post("/v1/photos", { bucket: "b", key: "a" }, headers);
  const again = await post("/v1/photos", { bucket: "b", key: "a" }, headers);
  expect(again).toMatchObject({ status: 202, body: first.body });
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  expect((await post("/v1/photos", { bucket: "b", key: "z" }, headers)).status).toBe(422);
  expect((await post("/v1/photos", { bucket: "b", key: "z" }, { "idempotency-key": "a b" })).status).toBe(
    400,
  );
  expect(
    (await post("/v1/photos", { bucket: "b", key: "z" }, { "idempotency-key": "upload-2" })).status,
  ).toBe(202);
});

test.for(BACKENDS)(
  "of many bodies that come under one Idempotency-Key at the same moment takes one, on %s",
  async (backend, { start, db }) => {
    const { post, waiting } = await start(backend);
    for (let round = 0; round < 5; round++) {
      const headers = { "idempotency-key": `round-${round}` };
      const bodies = Array.from({ length: 20 }, (_, n) => ({ bucket: `b${round}`, key: `k${n % 10}` }));
      const answers = await Promise.all(bodies.map((body) => post("/v1/photos", body, headers)));
      const taken = new Set(
        answers.flatMap(({ status, body }) => (status === 422 ? [] : [body.key as string])),
      );
      expect(taken.size).toBe(1);
      // the same body comes through however often it was sent
      const through = answers.filter(({ status }) => status !== 422);
      // as the first to be answered was: that it was taken, or that the other had been
      const [{ status, body }] = through as [Answered, Answered];
      expect([200, 202]).toContain(status);
      expect(through.map((each) => ({ status: each.status, body: each.body }))).toEqual(
        Array(2).fill({ status, body }),
      );
      const { rows } = await db.pool.query("select key from photos where bucket = $1", [`b${round}`]);
      expect(rows).toEqual([...taken].map((key) => ({ key })));
    }
    expect(await waiting()).toBe(5);
  },
);

test("gives the Idempotency-Key of a body that was refused to the one that is right", async ({
  start,
  db,
}) => {
  const { post } = await start();
  const headers = { "idempotency-key": "upload-1" };
  expect((await post("/v1/photos", { bucket: "b" }, headers)).status).toBe(400);
  expect((await post("/v1/photos", { bucket: "b", key: "a" }, headers)).status).toBe(202);
  // one whose process died before it was answered holds its key for a minute
  await db.pool.query("update idempotent_answers set status = null, answer = null");
  expect((await post("/v1/photos", { bucket: "b", key: "z" }, headers)).status).toBe(422);
  await db.pool.query("update idempotent_answers set answered_at = now() - interval '61 seconds'");
  expect((await post("/v1/photos", { bucket: "b", key: "z" }, headers)).status).toBe(202);
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
