import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect } from "vitest";
import { createToken } from "../../src/http/tokens.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { addDestination } from "../../src/store/destinations.ts";
import { addToken } from "../../src/store/tokens.ts";
import { startApi } from "../../workers/api.ts";
import { test as base } from "../fixtures.ts";

interface Served {
  url: string;
  token: string;
  /** Posts bytes as they are. */
  post(path: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<Response>;
  /** Writes to a connection of its own, and waits until the other side has ended it. */
  raw(text: string): Promise<string>;
  log(): string;
  close(): Promise<void>;
}

const test = base.extend<{ serve(env?: Record<string, string>): Promise<Served> }>({
  serve: async ({ configFor, db }, use) => {
    const scope = new Scope();
    await use(async (env = {}) => {
      let log = "";
      const to = {
        write: (line: string) => {
          log += line;
        },
      };
      const config = configFor("postgres", { MAITRED_API_PORT: "0", ...env });
      const { url } = await startApi(config, createLog("debug", to), scope);
      const { id, token, hash } = createToken();
      await addToken(db.pool, { id, name: "all", hash, scopes: ["ingest", "read"] });
      return {
        url,
        token,
        post: (path, body, headers = {}) =>
          fetch(url + path, {
            method: "POST",
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
            body: body as string,
          }),
        raw: (text) => raw(url, text),
        log: () => log,
        close: () => scope.close(),
      };
    });
    await scope.close();
  },
});

function raw(url: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(new URL(url).port), new URL(url).hostname, () => socket.write(text));
    socket.on("data", (chunk: Buffer) => {
      answer += chunk;
    });
    // a connection that is cut off is one that has ended
    socket.on("close", () => resolve(answer)).on("error", () => {});
  });
}

describe("a body", () => {
  const photo = JSON.stringify({ bucket: "b", key: "k" });
  const bodies: [string, number, string | Uint8Array, Record<string, string>][] = [
    ["of a prototype", 400, '{"bucket": "b", "key": "k", "__proto__": {"listing": "1"}}', {}],
    ["of an escaped prototype", 400, '{"bucket": "b", "key": "k", "__pr\\u006fto__": {"listing": "1"}}', {}],
    ["of a constructor", 400, '{"bucket": "b", "key": "k", "constructor": {"prototype": {}}}', {}],
    ["that is nested deeply", 400, "[".repeat(2_000_000) + "]".repeat(2_000_000 - 1), {}],
    ["that is nested deeply and whole", 400, "[".repeat(1_900_000) + "]".repeat(1_900_000), {}],
    [
      "that is nested deeply and has a key to be remembered by",
      400,
      "[".repeat(1_900_000) + "]".repeat(1_900_000),
      { "idempotency-key": "deep" },
    ],
    ["of a huge number", 400, '{"bucket": "b", "key": 1e999}', {}],
    ["of a number longer than any", 400, `[${"9".repeat(3_000_000)}]`, {}],
    ["that is not UTF-8", 400, Buffer.from('{"bucket": "b", "key": "caf\xe9"}', "latin1"), {}],
    ["of half a character pair", 400, '{"bucket": "b", "key": "\\ud83c"}', {}],
    ["of a zero character", 400, '{"bucket": "b", "key": "\\u0000"}', {}],
    ["of another charset", 415, photo, { "content-type": "application/json; charset=iso-8859-1" }],
    ["of another type", 415, photo, { "content-type": "application/x-www-form-urlencoded" }],
    ["of a type that is none", 415, photo, { "content-type": "json" }],
    ["that is compressed", 415, gzipSync(photo), { "content-encoding": "gzip" }],
    ["that is not JSON", 400, "{'bucket': 'b'}", {}],
    ["that is too large", 413, `"${"x".repeat(4_000_000)}"`, {}],
    ["of nothing", 400, "", {}],
  ];
  test("that is not as it should be is refused with a reason, and harms nobody", async ({ serve, db }) => {
    const { post, log } = await serve();
    for (const [name, status, body, headers] of bodies) {
      const response = await post("/v1/photos", body, headers);
      const problem = (await response.json()) as { status: number; detail: string };
      expect([name, response.status, problem.status]).toEqual([name, status, status]);
      expect(response.headers.get("content-type"), name).toBe("application/problem+json");
      expect(problem.detail.length, name).toBeLessThan(300);
    }
    expect(({} as { listing?: string }).listing).toBeUndefined();
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
    expect((await post("/v1/photos", photo)).status).toBe(202);
    expect(log()).not.toContain('"level":50');
  });

  test("that says a thing twice means what it said last, as JSON.parse does", async ({ serve, db }) => {
    const { post } = await serve();
    expect((await post("/v1/photos", '{"bucket": "b", "key": "first", "key": "last"}')).status).toBe(202);
    expect((await db.pool.query("select key from photos")).rows).toEqual([{ key: "last" }]);
  });

  test("in UTF-8 is taken whatever the type says of it", async ({ serve, db }) => {
    const { post } = await serve();
    const body = JSON.stringify({ bucket: "b", key: "café 🍜.jpg" });
    for (const type of ["application/json;charset=UTF-8", 'application/json; charset="utf-8"']) {
      expect((await post("/v1/photos", body, { "content-type": type })).ok).toBe(true);
    }
    expect((await db.pool.query("select key from photos")).rows).toEqual([{ key: "café 🍜.jpg" }]);
  });
});

describe("whoever speaks no proper HTTP", () => {
  test("is answered with a problem document, and its connection ends", async ({ serve }) => {
    const { raw, url, token } = await serve();
    const head = `POST /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`;
    const json = "Content-Type: application/json\r\n";
    const cases: [string, string][] = [
      ["400", "HELO maitred\r\n\r\n"],
      ["400", `${head}${json}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{}`],
      ["400", `${head}${json}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
      ["431", `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`],
      ["431", `GET /v1/photos?key=${"x".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ];
    for (const [status, text] of cases) {
      const answer = await raw(text);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toContain("Content-Type: application/problem+json");
      expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))).status).toBe(Number(status));
    }
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  test("and stops in the middle of a request does not hold up the end of the process", async ({ serve }) => {
    const { raw, url, close, token } = await serve();
    const half = raw(`POST /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-`);
    // it is there before the end begins
    await expect
      .poll(async () => (await fetch(`${url}/metrics`)).text())
      .toContain("maitred_unqueued_photos 0");
    await close();
    expect(await half).toBe("");
  });
});

describe("a caller", () => {
  test("with too many requests a minute is told when to come again, before its body is read", async ({
    serve,
    db,
  }) => {
    const { post, log, token, url } = await serve({ MAITRED_RATE_LIMIT: "2" });
    for (const _ of [1, 2]) expect((await post("/v1/events/s3", "{")).status).toBe(400);
    const refused = await post("/v1/events/s3", "{");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({
      status: 429,
      detail: expect.stringContaining("2 times a minute"),
    });
    // whoever reads the log is to know which of their callers that is
    const logged = (status: number, of: string): RegExp =>
      new RegExp(`"status":${status},"ms":\\d+,"token":"${of.slice(4, 16)}"`);
    await expect.poll(log).toMatch(logged(429, token));
    const reader = createToken();
    await addToken(db.pool, { ...reader, name: "reader", scopes: ["read"] });
    const headers = { authorization: `Bearer ${reader.token}` };
    expect((await fetch(`${url}/v1/events/s3`, { method: "POST", headers })).status).toBe(403);
    await expect.poll(log).toMatch(logged(403, reader.token));
  });

  test("that guesses tokens is not heard any more, which its neighbours do not notice", async ({
    serve,
    db,
  }) => {
    const { url, token } = await serve({ MAITRED_AUTH_LIMIT: "3", MAITRED_TRUSTED_PROXIES: "127.0.0.0/8" });
    const statusOf = async (bearer: string, from: string) => {
      const headers = { authorization: `Bearer ${bearer}`, "x-forwarded-for": from };
      return (await fetch(`${url}/v1/photos/1`, { headers })).status;
    };
    expect(await statusOf(token, "203.0.113.7")).toBe(404);
    for (const _ of [1, 2, 3]) expect(await statusOf(createToken().token, "203.0.113.7")).toBe(401);
    const another = createToken();
    await addToken(db.pool, { ...another, name: "another", scopes: ["read"] });
    expect(await statusOf(another.token, "203.0.113.7")).toBe(429);
    expect(await statusOf(token, "203.0.113.7")).toBe(404);
    expect(await statusOf(another.token, "203.0.113.8")).toBe(404);
    // what is no token cannot be a guess
    expect(await statusOf("x", "203.0.113.7")).toBe(401);
  });

  test("that asks a known address in another way is told which it understands", async ({ serve }) => {
    const { url } = await serve();
    const answer = await fetch(`${url}/v1/photos`, { method: "PUT" });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST, DELETE, GET"]);
    expect((await fetch(`${url}/v1/events/s3`, { method: "HEAD" })).status).toBe(405);
  });
});

test("no secret reaches the log or the metrics, wherever it was put", async ({ serve, db }) => {
  const { url, token, post, raw, log } = await serve({ MAITRED_AUTH_LIMIT: "2", MAITRED_RATE_LIMIT: "20" });
  const secret = token.slice(17);
  const wrong = createToken().token;
  const get = (path: string, authorization?: string) =>
    fetch(url + path, authorization === undefined ? {} : { headers: { authorization } });
  for (const header of [
    `Bearer ${token}`,
    `bearer ${token}`,
    `Bearer  ${token} `,
    `Bearer ${token}x`,
    `Bearer ${token.slice(0, -1)}!`,
    token,
    `Basic ${btoa(token)}`,
    `Token token="${token}"`,
    `Bearer ${wrong}`,
  ]) {
    await get("/v1/photos/1", header);
  }
  for (const path of [
    `/v1/photos?access_token=${token}`,
    `/v1/photos?bucket=b&key=k&token=${token}`,
    `/v1/photos/${token}`,
    `/${token}`,
    `/v1/photos/%${token}`,
  ]) {
    await get(path);
    await get(path, `Bearer ${token}`);
  }
  await post("/v1/photos", `{"token": "${token}"`);
  await post("/v1/photos", JSON.stringify({ bucket: "b", key: "k", token }));
  await post("/v1/photos", JSON.stringify({ bucket: "b", key: token }), { "idempotency-key": token });
  await post("/v1/photos", "{}", { "content-type": `application/${token}` });
  await raw(`GET /${token} HTTP/9.9\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await raw(`GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token} ${"x".repeat(20_000)}\r\n\r\n`);
  await db.pool.query("alter table tokens rename to gone");
  expect((await get("/v1/photos/1", `Bearer ${token}`)).status).toBe(500);
  const metrics = await (await get("/metrics")).text();
  for (const text of [log(), metrics]) {
    expect(text).not.toContain(secret);
    expect(text).not.toContain(secret.slice(0, 20));
    expect(text).not.toContain(wrong.slice(17));
    expect(text).not.toContain(btoa(token).slice(24, 44));
  }
  expect(log()).toContain('"status":404');
  expect(log()).toContain("answered with a failure");
});

describe("/metrics", () => {
  const value = (text: string, series: string) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length) ?? Number.NaN,
    );

  test("counts requests, events, refusals and bytes, and reads from Postgres what waits for a queue", async ({
    serve,
    db,
  }) => {
    const { url, post } = await serve();
    const body = JSON.stringify([
      { bucket: "b", key: "k" },
      { bucket: "b", key: "k" },
    ]);
    await (await post("/v1/photos", body)).text();
    const testEvent = '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}';
    await (await post("/v1/events/s3", testEvent)).text();
    await (await fetch(`${url}/v1/photos/17`)).text();
    await (await fetch(`${url}/nowhere/17`)).text();
    await db.pool.query("insert into unqueued select id, now() - interval '1 hour' from photos");
    await db.pool.query(
      "insert into sweeps (bucket, state, missed, gone, finished_at) values ('b', 'done', 3, 2, to_timestamp(7)), ('b', 'running', 1, 0, null)",
    );
    await addDestination(db.pool, { id: "tags", kind: "s3-tags", bucket: null, url: null }, null);
    await db.pool.query("select record_review(id, 'ann', 'shown') from photos");
    await db.pool.query("update outbox set created_at = now() - interval '1 hour'");
    await db.pool.query(
      "insert into photos (store, bucket, key, registered_at) values ('s3', 'b', 'old', now() - interval '2 hours')",
    );
    const metrics = async () => (await fetch(`${url}/metrics`)).text();
    // a request is counted once its answer has left, which its caller may see earlier
    await expect.poll(metrics).toContain('route="none",method="GET",status="404"');
    const text = await metrics();
    const count = (series: string) => value(text, series);
    expect(count('maitred_http_requests_total{route="/v1/photos",method="POST",status="202"}')).toBe(1);
    expect(count('maitred_http_requests_total{route="/v1/photos/:id",method="GET",status="401"}')).toBe(1);
    expect(count('maitred_http_requests_total{route="none",method="GET",status="404"}')).toBe(1);
    expect(count('maitred_http_request_seconds_count{route="/v1/photos",method="POST"}')).toBe(1);
    expect(count('maitred_events_total{source="photos",outcome="accepted"}')).toBe(1);
    expect(count('maitred_events_total{source="photos",outcome="known"}')).toBe(1);
    expect(count('maitred_events_total{source="s3",outcome="ignored"}')).toBe(1);
    expect(count('maitred_http_refused_total{reason="token"}')).toBe(1);
    expect(count('maitred_http_bytes_total{direction="in"}')).toBe(body.length + testEvent.length);
    expect(count('maitred_http_bytes_total{direction="out"}')).toBeGreaterThan(100);
    expect(count("maitred_unqueued_photos")).toBe(1);
    expect(count("maitred_unqueued_oldest_seconds")).toBeCloseTo(3_600, -2);
    expect(count("maitred_pending_oldest_seconds")).toBeCloseTo(7_200, -2);
    expect(count('maitred_sweep_missed_photos{bucket="b"}')).toBe(4);
    expect(count('maitred_sweep_gone_photos{bucket="b"}')).toBe(2);
    expect(count('maitred_sweep_finished_timestamp_seconds{bucket="b"}')).toBe(7);
    expect(count('maitred_deliveries{destination="tags",state="pending"}')).toBe(1);
    expect(count('maitred_deliveries{destination="tags",state="dead"}')).toBe(0);
    expect(count('maitred_deliveries_oldest_seconds{destination="tags"}')).toBeCloseTo(3_600, -2);
  });

  test("answers while Postgres does not, without what it would have read there", async ({ serve, db }) => {
    const { url } = await serve();
    await db.pool.query("alter table unqueued rename to gone");
    const answer = await fetch(`${url}/metrics`);
    expect(answer.status).toBe(200);
    const text = await answer.text();
    expect(text).toContain("maitred_http_requests_total");
    expect(value(text, "maitred_unqueued_photos")).toBeNaN();
  });
});
