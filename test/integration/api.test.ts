import fc from "fast-check";
import { describe, expect, vi } from "vitest";
import { z } from "zod";
import { problem } from "../../src/http/problem.ts";
import type { Route } from "../../src/http/route.ts";
import { routes } from "../../src/http/routes.ts";
import { createToken, type Scope as TokenScope } from "../../src/http/tokens.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { addToken, revokeToken } from "../../src/store/tokens.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { startApi } from "../../workers/api.ts";
import { eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import { BACKENDS, type Backend, test as base } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";

interface Answered {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  body: any;
}
interface Ask {
  body?: unknown;
  raw?: string;
  headers?: Record<string, string>;
  /** Of the token; null for none. */
  scope?: TokenScope | null;
}
interface Api {
  url: string;
  /** Asks, and checks that the answer is one that the route says it may give. */
  ask(method: "GET" | "POST", path: string, how?: Ask): Promise<Answered>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answered>;
  waiting(): Promise<number>;
  tokens: Record<TokenScope, { id: string; token: string }>;
}

const test = base.extend<{ start(backend?: Backend, env?: Record<string, string>): Promise<Api> }>({
  start: async ({ configFor, db }, use) => {
    const scope = new Scope();
    await use(async (backend = "postgres", env = {}) => {
      const config = configFor(backend, { MAITRED_API_PORT: "0", ...env });
      const { url } = await startApi(config, createLog("silent"), scope);
      const queues = scope.hold(
        "queues",
        openQueues(
          scope.hold(
            "server",
            openQueueServer(config, () => {}),
          ),
          () => {},
        ),
      );
      const made: [TokenScope, { id: string; token: string }][] = [];
      for (const name of ["ingest", "read", "operate", "review"] as const) {
        const { id, token, hash } = createToken();
        await addToken(db.pool, { id, name, hash, scopes: [name] });
        made.push([name, { id, token }]);
      }
      const tokens = Object.fromEntries(made) as Api["tokens"];
      const ask: Api["ask"] = async (method, path, { body, raw, headers, scope } = {}) => {
        const token =
          scope === undefined ? tokens[method === "GET" ? "read" : "ingest"] : scope && tokens[scope];
        const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
        const response = await fetch(url + path, {
          method,
          headers: {
            ...(token && { authorization: `Bearer ${token.token}` }),
            ...(sent !== undefined && { "content-type": "application/json" }),
            ...headers,
          },
          ...(sent !== undefined && { body: sent }),
        });
        const answered = { status: response.status, headers: response.headers, body: await response.json() };
        checkAnswer(method, path, answered);
        return answered;
      };
      return {
        url,
        ask,
        post: (path, body, headers = {}) => ask("POST", path, { body, headers }),
        waiting: async () => (await queues.depth("live")).waiting,
        tokens,
      };
    });
    await scope.close();
  },
});

function checkAnswer(method: string, path: string, { status, headers, body }: Answered): void {
  const route = routes.find(
    (each) => each.method === method && new RegExp(`^${each.url.replace(":id", "[^/?]+")}(\\?|$)`).test(path),
  );
  expect(status).toBeLessThan(500);
  if (status >= 400) {
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(z.strictObject(problem.shape).parse(body).status).toBe(status);
  } else if (route) {
    expect(Object.keys(route.answers)).toContain(String(status));
    expect(route.answers[status]!.schema.parse(body)).toEqual(body);
  }
}

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

describe("POST /v1/photos", () => {
  test("takes one photo, and answers with its id", async ({ start, db }) => {
    const { post } = await start();
    const told = {
      bucket: "b",
      key: "a b+.jpg",
      etag: '"e1"',
      listing: "42",
      uploader: "user",
      claimed: "menu",
    };
    const { status, body } = await post("/v1/photos", told);
    expect(status).toBe(202);
    expect(
      (await db.pool.query("select id, key, version, listing, uploader, claimed from photos")).rows,
    ).toEqual([
      { id: body.id, key: "a b+.jpg", version: "etag:e1", listing: "42", uploader: "user", claimed: "menu" },
    ]);
    expect(await post("/v1/photos", told)).toMatchObject({
      status: 200,
      body: { id: body.id, outcome: "known" },
    });
  });

  test.for([
    ["ahead", 180_000, 0],
    ["behind", 0, -180_000],
  ] as const)(
    "counts what is told as it comes, although the clock of one of two machines that take it is minutes %s",
    async ([_, firstMs, secondMs], { start, db }) => {
      const { post } = await start();
      const current = "select version from photos where superseded_at is null";
      vi.useFakeTimers({ toFake: ["Date"] });
      try {
        const now = Date.now();
        for (const [etag, ms] of [
          ["1", firstMs],
          ["2", secondMs],
        ] as const) {
          vi.setSystemTime(now + ms);
          expect((await post("/v1/photos", { bucket: "b", key: "a", etag })).status).toBe(202);
        }
      } finally {
        vi.useRealTimers();
      }
      expect((await db.pool.query(current)).rows).toEqual([{ version: "etag:2" }]);
    },
  );

  test("takes a thousand, each once, and refuses one more", async ({ start, db }) => {
    const { post, waiting } = await start();
    const many = (length: number) => Array.from({ length }, (_, n) => ({ bucket: "b", key: `k${n % 999}` }));
    const { status, body } = await post("/v1/photos", many(1_000));
    expect(status).toBe(202);
    expect(body.photos).toHaveLength(1_000);
    expect(body.photos[999]).toMatchObject({ id: body.photos[0].id, outcome: "known" });
    expect(await waiting()).toBe(999);
    expect((await post("/v1/photos", many(1_001))).status).toBe(400);
    expect((await db.pool.query("select count(*)::int as n from unqueued")).rows).toEqual([{ n: 0 }]);
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

  test("says what is wrong with a photo, and takes none of a list in which one is wrong", async ({
    start,
    db,
  }) => {
    const { post } = await start();
    const detail = async (body: unknown) => {
      const { status, body: said } = await post("/v1/photos", body);
      return `${status} ${said.code} ${said.detail}`;
    };
    expect(await detail([{ bucket: "b", key: "a" }, { bucket: "b" }])).toMatch(
      /^400 EVENT_INVALID \[1\]\.key: /,
    );
    expect(await detail({ bucket: "b", key: "a", lisitng: "42" })).toMatch(/lisitng/);
    expect(await detail({ bucket: "b", key: "a", uploader: "x" })).toMatch(/uploader/);
    expect(await detail({ bucket: "b", key: "a\0" })).toMatch(/key: expected 1 to 1024 bytes/);
    expect(await detail({ bucket: 3, uploader: "x", lisitng: "42" })).toBe(
      "400 EVENT_INVALID bucket: expected text, got 3; key: expected text, got nothing; " +
        'uploader: expected moderator or user, got "x"; lisitng: there is no such name',
    );
    const many = Array.from({ length: 12 }, (_, n) => ({ bucket: "b", key: n }));
    expect(await detail(many)).toMatch(/ \[9\]\.key: expected text, got 9; and 2 more$/);
    for (const [none, what] of [
      [[], "an empty list"],
      [3, "3"],
      [null, "null"],
    ])
      expect(await detail(none)).toBe(
        `400 EVENT_INVALID expected a photo, or a list of 1 to 1000 photos, got ${what}`,
      );
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
  });
});

describe("GET /v1/photos", () => {
  test("tells state, tags, verdict, reason and history, by id and by key, and that a photo was withdrawn", async ({
    start,
    db,
  }) => {
    const { post, ask } = await start();
    const key = "42/a+b c%20&=🍜.jpg";
    const { body: taken } = await post(
      "/v1/events/eventbridge",
      eventBridge("Object Created", { key, etag: "e1" }),
    );
    const { id } = taken.photos[0];
    await recordOutcomes(db.pool, [
      {
        photoId: id,
        known: { listing: "42" },
        batch: "t-1",
        by: "model:m-1",
        policy: "p1",
        result: {
          scores: { categories: { food: 0.9, menu: 0.1 }, human: 0.25 },
          decision: {
            verdict: "shown",
            rule: "clear",
            reason: "food 0.90",
            category: "food",
            tags: [{ category: "food", score: 0.9, threshold: 0.6 }],
          },
        },
      },
    ]);
    const byId = await ask("GET", `/v1/photos/${id}`);
    expect(byId.body).toMatchObject({
      id,
      bucket: "photos",
      key,
      version: "etag:e1",
      current: true,
      public: true,
      state: "shown",
      listing: "42",
      category: "food",
      human: 0.25,
      tags: [{ category: "food", score: 0.9, threshold: 0.6, by: "model:m-1" }],
      verdict: "shown",
      rule: "clear",
      reason: "food 0.90",
      failure: null,
      by: "model:m-1",
      history: [{ verdict: "shown", reason: "food 0.90", by: "model:m-1" }],
    });
    const byKey = () => ask("GET", `/v1/photos?${new URLSearchParams({ bucket: "photos", key })}`);
    expect((await byKey()).body).toEqual(byId.body);
    const gone = eventBridge("Object Deleted", { key, sequencer: "617f08299329d18a" });
    expect(await post("/v1/events/eventbridge", gone)).toMatchObject({
      status: 202,
      body: { photos: [{ id, outcome: "removed" }] },
    });
    expect((await byKey()).body).toMatchObject({ id, current: false, public: false, verdict: "shown" });
    const back = eventBridge("Object Created", { key, etag: "e2", sequencer: "617f08299329d18b" });
    const { body: next } = await post("/v1/events/eventbridge", back);
    expect((await byKey()).body).toMatchObject({ id: next.photos[0].id, current: true, state: "pending" });
  });

  test("tells of a photo of a folder by the folder's path and the photo's below it", async ({
    start,
    db,
  }) => {
    const { ask } = await start();
    const [photo] = await registerPhotos(
      db.pool,
      [{ store: "folder", bucket: "/srv/photos", key: "42/a b.jpg", version: "1-2", known: {} }],
      "live",
    );
    const about = new URLSearchParams({ bucket: "/srv/photos", key: "42/a b.jpg" });
    expect((await ask("GET", `/v1/photos?${about}`)).body).toMatchObject({ id: photo!.id, store: "folder" });
  });

  test("answers 404 for what is not known, and 400 for what is no question", async ({ start }) => {
    const { ask } = await start();
    const statuses = async (...paths: string[]) =>
      Promise.all(paths.map(async (path) => (await ask("GET", path)).status));
    expect(await statuses("/v1/photos?bucket=b&key=a", "/v1/photos/7")).toEqual([404, 404]);
    const malformed = [
      "",
      "?bucket=b",
      "?bucket=b&key=a&key=b",
      "/x",
      "/0",
      "/%00",
      "/%",
      `/${"9".repeat(250)}`,
    ];
    expect(await statuses(...malformed.map((rest) => `/v1/photos${rest}`))).toEqual(malformed.map(() => 400));
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
    const { rows } = await db.pool.query("select * from tokens");
    expect(JSON.stringify(rows)).not.toContain(token.slice(17));
  });

  test("is told what of a message is not understood, and nothing of it is taken", async ({ start, db }) => {
    const { post, ask } = await start();
    const bad = { Records: [s3Record("ObjectCreated:Put", record), { eventVersion: "3.0" }] };
    expect((await post("/v1/events/s3", bad)).body.detail).toMatch(/^Records\[1\]\./);
    expect((await post("/v1/events/eventbridge", {})).status).toBe(400);
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
  const decision = { verdict: "hidden", rule: "human", reason: "r", category: "food", tags: [] };
  const result = {
    decision: { ...decision, verdict: "hidden" as const },
    scores: { categories: { food: 1 }, human: 1 },
  };
  await recordOutcomes(db.pool, [{ photoId: id, known: {}, batch: "", by: "model:m", policy: "p", result }]);
  const appeal = (photo: string, body: object, scope: TokenScope = "ingest") =>
    ask("POST", `/v1/photos/${photo}/appeal`, { body, scope });

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
