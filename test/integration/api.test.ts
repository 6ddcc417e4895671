import fc from "fast-check";
import { describe, expect } from "vitest";
import type { Route } from "../../src/http/route.ts";
import { routes } from "../../src/http/routes.ts";
import { createToken, type Scope as TokenScope } from "../../src/http/tokens.ts";
import { revokeToken } from "../../src/store/tokens.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { test } from "../api.ts";
import { eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import { BACKENDS } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { judged } from "../verdicts.ts";

const record = { key: "42/a+b c%.jpg", etag: "e1" };
const messages: [string, string, unknown][] = [
  ["S3", "/v1/events/s3", { Records: [s3Record("ObjectCreated:Put", record)] }],
  ["MinIO", "/v1/events/s3", minioMessage("ObjectCreated:Put", record)],
  ["EventBridge", "/v1/events/eventbridge", eventBridge("Object Created", record)],
  ["Cloud Storage", "/v1/events/gcs", gcsPush("OBJECT_FINALIZE", record.key, 7)],
];

describe.each(BACKENDS)("with the queue on %s", (backend) => {
  test("an event of every source is answered 202 with its photo, which waits in the queue, and 200 when it comes again", async ({
    start,
    db,
  }) => {
    const { post, ask, waiting } = await start(backend);
    for (const [n, [, path, message]] of messages.entries()) {
      await db.pool.query("delete from object_order; delete from photos");
      const first = await post(path, message);
      expect(first.status).toBe(202);
      expect(first.body).toMatchObject({
        photos: [{ bucket: "photos", key: record.key, outcome: "accepted" }],
      });
      const { id } = first.body.photos[0];
      expect(await waiting()).toBe(n + 1);
      const again = await post(path, message);
      expect(again.status).toBe(200);
      expect(again.body).toMatchObject({ photos: [{ id, outcome: "duplicate" }] });
      expect(await waiting()).toBe(n + 1);
      const read = await ask("GET", `/v1/photos?bucket=photos&key=${encodeURIComponent(record.key)}`);
      expect(read.body).toMatchObject({ id, state: "pending", current: true, public: false, verdict: null });
    }
  });

  test("beyond its limit it answers 429, and says when to come again", async ({ start }) => {
    const { post, ask, waiting } = await start(backend, { MAITRED_QUEUE_LIMIT: "2" });
    const all = [1, 2, 3].map((n) => ({ bucket: "b", key: `k${n}` }));
    expect((await post("/v1/photos", all)).status).toBe(202);
    // what waits is asked for once a second
    await expect.poll(async () => (await post("/v1/photos", { bucket: "b", key: "x" })).status).toBe(429);
    const refused = await post("/v1/events/s3", { Records: [] });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await ask("GET", "/v1/photos?bucket=b&key=k1")).status).toBe(200);
    expect(await waiting()).toBeLessThanOrEqual(4);
  });
});

describe("a caller", () => {
  test("needs a token, that is valid, with the scope", async ({ start, db }) => {
    const { ask, tokens } = await start();
    const path = "/v1/photos";
    const body = { bucket: "b", key: "a" };
    const as = (authorization: string) =>
      ask("POST", path, { body, scope: null, headers: { authorization } });
    const nobody = await ask("POST", path, { body, scope: null });
    expect([nobody.status, nobody.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    const { token, id } = tokens.ingest;
    const another = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
    for (const [wrong, why] of [
      [token, "expected the header"],
      [`Basic ${token}`, "expected the header"],
      [`Basic ${btoa(`user:${token}`)}`, "expected the header"],
      [`Bearer ${another}`, "there is no such token here, or it was revoked"],
      ["Bearer x", "there is no such token here, or it was revoked"],
      [`Bearer ${createToken().token}`, "there is no such token here, or it was revoked"],
    ] as const) {
      expect(await as(wrong)).toMatchObject({ status: 401, body: { detail: expect.stringContaining(why) } });
    }
    expect((await ask("POST", path, { body, scope: "read" })).body.detail).toMatch(/lacks the scope ingest$/);
    expect((await ask("GET", "/v1/photos/1", { scope: "ingest" })).status).toBe(403);
    expect((await as(`Bearer ${token}`)).status).toBe(202);
    expect(await revokeToken(db.pool, id)).toBe(true);
    expect((await as(`Bearer ${token}`)).status).toBe(401);
    const { rows } = await db.pool.query("select *, revoked_at::text as since from tokens order by id");
    // again, it stays revoked since then
    expect(await revokeToken(db.pool, id)).toBe(true);
    const again = await db.pool.query("select *, revoked_at::text as since from tokens order by id");
    expect(again.rows).toEqual(rows);
    expect(JSON.stringify(rows)).not.toContain(token.slice(17));
  });

  test("is told that a message is none of its source, and nothing of it is taken or kept", async ({
    start,
    db,
  }) => {
    const { post, ask } = await start();
    expect((await post("/v1/events/s3", { Records: [{}] })).body.detail).toMatch(/^Records\[0\]\./);
    const ceph = s3Record("ObjectCreated:Put", record, { eventSource: "ceph:s3" });
    expect((await post("/v1/events/s3", { Records: [ceph] })).body.detail).toContain("POST /v1/photos");
    expect((await post("/v1/events/s3", eventBridge("Object Created", record))).status).toBe(400);
    expect((await post("/v1/events/eventbridge", {})).status).toBe(400);
    const ec2 = { ...eventBridge("Object Created", record), source: "aws.ec2" };
    expect((await post("/v1/events/eventbridge", ec2)).body.detail).toMatch(/^source: expected aws.s3/);
    expect((await post("/v1/events/gcs", { message: {} })).body.detail).toMatch(/^message\./);
    expect((await ask("POST", "/v1/events/s3", { raw: "{" })).status).toBe(400);
    expect((await ask("POST", "/v1/events/s3")).status).toBe(400);
    expect((await ask("POST", "/v1/events/s3", { raw: '{"__proto__": {"Records": []}}' })).status).toBe(400);
    const text = { raw: "hello", headers: { "content-type": "text/plain" } };
    expect(await ask("POST", "/v1/events/s3", text)).toMatchObject({
      status: 415,
      body: { detail: "expected Content-Type: application/json" },
    });
    expect((await ask("POST", "/v1/events/s3", { raw: `"${"x".repeat(1_000_001)}"` })).status).toBe(413);
    expect((await ask("POST", "/v1/nowhere", { body: {} })).status).toBe(404);
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
    expect((await db.pool.query("select from bad_messages")).rows).toEqual([]);
  });

  test("may configure its bucket: a test event is acknowledged and dropped", async ({ start }) => {
    const { post } = await start();
    const test = { Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "photos" };
    expect(await post("/v1/events/s3", test)).toMatchObject({
      status: 200,
      body: { photos: [], ignored: 1 },
    });
  });

  test("that sends whatever comes to its mind is answered within the schemas", async ({ start }) => {
    const { post } = await start("postgres", { MAITRED_QUEUE_LIMIT: "0" });
    const broken = (message: unknown) =>
      fc.tuple(fc.jsonValue(), fc.nat()).map(([value, at]) => {
        let count = 0;
        // one place of a good message, whichever it is, holds something else
        return JSON.parse(JSON.stringify(message), (_key, old) => (count++ === at % 25 ? value : old));
      });
    for (const [, path, message] of [
      ...messages,
      ["", "/v1/photos", { bucket: "b", key: "k", etag: "e" }] as const,
    ]) {
      await fc.assert(
        fc.asyncProperty(fc.oneof(fc.jsonValue(), broken(message)), async (body) => {
          expect([200, 202, 400]).toContain((await post(path, body)).status);
        }),
        { numRuns: 60 },
      );
    }
  });
});

test("an appeal of the platform is taken once, and the photo keeps its verdict", async ({ start, db }) => {
  const { ask, post } = await start();
  const { id } = (await post("/v1/photos", { bucket: "b", key: "a" })).body;
  await recordOutcomes(db.pool, [judged(id, "hidden")]);
  const appeal = (photo: string, body: object, scope: TokenScope = "ingest") =>
    ask("POST", `/v1/photos/${photo}/appeal`, { body, scope });

  // the desk shows a token that appealed by the name of its person
  for (const by of ["token:0123456789ab", "Token ann"])
    expect(await appeal(id, { reason: "a statue", by })).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/^by: expected whoever objects to be no token/) },
    });
  const first = await appeal(id, { reason: "a statue", by: "uploader:77" });
  expect(first).toMatchObject({ status: 201, body: { id } });
  expect(await appeal(id, { reason: "again" })).toMatchObject({ status: 200, body: first.body });
  expect((await ask("GET", `/v1/photos/${id}`)).body).toMatchObject({ state: "hidden", public: false });
  expect((await db.pool.query("select reason, by from appeals")).rows).toEqual([
    { reason: "a statue", by: "uploader:77" },
  ]);
  expect((await appeal("999", { reason: "r" })).status).toBe(404);
  expect((await appeal(id, {})).status).toBe(400);
  expect((await appeal(id, { reason: "r" }, "read")).status).toBe(403);
});

test("/openapi.json describes every route with the schemas that check it, and examples that are taken", async ({
  start,
  db,
}) => {
  const { url, ask } = await start();
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what is tested
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as any;
  expect(document.openapi).toBe("3.1.0");
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described.toSorted()).toEqual(
    routes.map(({ method, url }: Route) => `${method} ${url.replace(":id", "{id}")}`).toSorted(),
  );
  const { post } = document.paths["/v1/photos"];
  const [single] = post.requestBody.content["application/json"].schema.anyOf;
  expect(single).toMatchObject({ required: ["bucket", "key"], additionalProperties: false });
  expect(single.properties.key.description).toContain("not encoded");
  expect(post.responses["400"].content["application/problem+json"].schema.required).toContain("detail");
  expect(JSON.stringify(document)).not.toContain("$ref");
  for (const { url: path, example } of routes.filter((route) => route.example !== undefined)) {
    await db.pool.query("delete from object_order; delete from photos");
    expect(await ask("POST", path, { body: example })).toMatchObject({ status: 202 });
  }
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test("maitred token makes, lists and revokes tokens; maitred api serves them, logs none, and drains", async ({
  db,
}) => {
  const env = { DATABASE_URL: db.url, MAITRED_API_PORT: "0" };
  const run = async (...args: string[]) => {
    const { code, out, err } = await ended(["token", ...args], env);
    return { code, out: out.trim(), err };
  };
  const created = await run("create", "--scopes", "ingest,read", "bucket events");
  expect(created).toMatchObject({ code: 0, err: expect.stringContaining("not shown again") });
  const token = created.out;
  const api = maitred(["api"], env);
  await api.says("the API answers");
  const url = /"url":"([^"]+)"/.exec(api.stderr())![1]!;
  const ask = (authorization: string) =>
    fetch(`${url}/v1/photos?bucket=b&key=a`, { headers: { authorization } });
  expect((await ask(`Bearer ${token}`)).status).toBe(404);
  expect((await ask(`Bearer ${token}x`)).status).toBe(401);

  const [listed] = JSON.parse((await run("list", "--json")).out);
  expect(listed).toMatchObject({ name: "bucket events", scopes: ["ingest", "read"], revokedAt: null });
  expect((await run("list")).out).toContain("ingest,read");
  expect(await run("revoke", listed.id)).toMatchObject({ code: 0 });
  expect((await ask(`Bearer ${token}`)).status).toBe(401);
  expect(await run("revoke", "nobody")).toMatchObject({ code: 1 });
  expect(await run("create", "--scopes", "all", "x")).toMatchObject({ code: 2 });
  expect(await run("create", "x")).toMatchObject({ code: 2 });
  expect(await run("lsit")).toMatchObject({ code: 2 });

  api.child.kill("SIGTERM");
  expect(await api.exit).toBe(0);
  expect(api.stderr()).toContain('"status":404');
  expect(api.stderr()).not.toContain(token.slice(17));
});
