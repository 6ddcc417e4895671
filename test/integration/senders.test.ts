/** Messages of SNS and Pub/Sub, posted to the running API, which asks a server of ours for their keys. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { beforeAll, describe, expect } from "vitest";
import { z } from "zod";
import { problem } from "../../src/http/problem.ts";
import { noticed } from "../../src/http/schemas.ts";
import { createToken } from "../../src/http/tokens.ts";
import { createLog } from "../../src/log.ts";
import { addToken } from "../../src/store/tokens.ts";
import { startApi } from "../../workers/api.ts";
import { eventBridge, gcsPush, s3Record } from "../events.ts";
import { BACKENDS, type Backend, test as base } from "../fixtures.ts";
import { CERTIFICATE, createSigner, notification, type Signer, subscription, TOPIC } from "../sns.ts";

interface Answered {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  body: any;
}
interface Running {
  url: string;
  token: string;
  /** Posts it as SNS does. */
  post(body: unknown, headers?: Record<string, string>): Promise<Answered>;
  /** What was asked of the server of SNS. */
  asked: string[];
}
type Start = (how?: {
  backend?: Backend;
  env?: Record<string, string>;
  sns?: RequestListener;
  googleKeys?: string;
}) => Promise<Running>;

let signer: Signer;
let ended: Signer;
beforeAll(async () => {
  [signer, ended] = await Promise.all([createSigner(), createSigner("2020-01-01", "2021-01-01")]);
});

const test = base.extend<{
  start: Start;
  /** A server of ours, at its address. */
  serve(listener: RequestListener): Promise<string>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  serve: async ({}, use) => {
    const servers: Server[] = [];
    await use(async (listener) => {
      const server = createServer(listener);
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  },
  start: async ({ configFor, db, serve, scope }, use) => {
    await use(
      async ({
        backend = "postgres",
        env = {},
        sns = certificates,
        googleKeys = "http://127.0.0.1:1/",
      } = {}) => {
        const config = configFor(backend, { MAITRED_API_PORT: "0", MAITRED_SNS_TOPICS: TOPIC, ...env });
        const asked: string[] = [];
        const origin = await serve((request, response) => {
          asked.push(request.url!);
          sns(request, response);
        });
        // the hosts of SNS lie on a server of ours; all else of the request is as it is
        const atOurs = (url: URL, init: RequestInit) => fetch(origin + url.pathname + url.search, init);
        const { url } = await startApi(config, createLog("silent"), scope, { fetch: atOurs, googleKeys });
        const { token, id, hash } = createToken();
        await addToken(db.pool, { id, name: "sender", hash, scopes: ["ingest"] });
        return {
          url,
          token,
          asked,
          async post(body, headers = {}) {
            const response = await fetch(`${url}/v1/events/sns`, {
              method: "POST",
              headers: { "content-type": "text/plain; charset=UTF-8", ...headers },
              body: typeof body === "string" ? body : JSON.stringify(body),
            });
            return { status: response.status, headers: response.headers, body: await response.json() };
          },
        };
      },
    );
  },
});

/** What lies at the host of SNS: the certificate, and whatever confirms. */
const certificates: RequestListener = (request, response) => {
  response.end(request.url!.endsWith(".pem") ? signer.pem : "<ConfirmSubscriptionResponse/>");
};

const key = "42/a+b c%.jpg";
const s3 = { Records: [s3Record("ObjectCreated:Put", { key, etag: "e1" })] };

describe.each(BACKENDS)("with the queue on %s", (backend) => {
  test("what SNS signed is taken, of S3 and of EventBridge, and its certificate is fetched once", async ({
    start,
  }) => {
    const { post, asked } = await start({ backend });
    const first = await post(signer.sign(notification(s3)));
    expect(first).toMatchObject({
      status: 202,
      body: { photos: [{ bucket: "photos", key, outcome: "accepted" }] },
    });
    const again = await post(signer.sign(notification(s3, { SignatureVersion: "2" })));
    expect(again).toMatchObject({ status: 200, body: { photos: [{ outcome: "duplicate" }] } });
    const gone = eventBridge("Object Deleted", { key, sequencer: "ff" });
    expect(await post(signer.sign(notification(gone)))).toMatchObject({
      status: 202,
      body: { photos: [{ id: first.body.photos[0].id, outcome: "removed" }] },
    });
    const tried = { Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "photos" };
    expect(await post(signer.sign(notification(tried)))).toMatchObject({ status: 200, body: { ignored: 1 } });
    expect(asked).toEqual([new URL(CERTIFICATE).pathname]);
  });
});

describe("a message of SNS", () => {
  test("is refused where it was tampered with, stale, of another topic, or no message, and nothing is taken", async ({
    start,
    db,
  }) => {
    const { post, asked, token } = await start();
    const good = signer.sign(notification(s3));
    const late = new Date(Date.now() - 3_700_000).toISOString();
    const refused: [unknown, number, RegExp][] = [
      [{ ...good, Message: JSON.stringify({ Records: [] }) }, 403, /^Signature/],
      [{ ...good, Signature: "" }, 403, /^Signature/],
      [signer.sign(notification(s3, { TopicArn: `${TOPIC}-2` })), 403, /MAITRED_SNS_TOPICS/],
      [signer.sign(notification(s3, { Timestamp: late })), 403, /^Timestamp/],
      [signer.sign(notification("hello")), 400, /^Message: expected JSON/],
      [signer.sign(notification({})), 400, /^expected a notification of S3/],
      ["hello", 400, /^the body: expected JSON/],
      ["", 400, /^the body: expected JSON/],
      [s3, 400, /Type/],
      ['{"__proto__": {"Type": "Notification"}}', 400, /^the body: expected JSON.*__proto__/],
    ];
    for (const [message, status, why] of refused) {
      const answer = await post(message);
      expect([answer.status, answer.body.detail]).toEqual([status, expect.stringMatching(why)]);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
    }
    // a token of ours takes the place of no signature
    const signedByNobody = await post({ ...good, Signature: "" }, { authorization: `Bearer ${token}` });
    expect(signedByNobody.status).toBe(403);
    expect((await post(good, { "content-type": "application/xml" })).status).toBe(415);
    expect(asked).toHaveLength(1);
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
    expect((await post(good, { "content-type": "application/json" })).status).toBe(202);
  });

  test("of which a part is not understood is put aside once its signature was verified, and no other is", async ({
    start,
    db,
  }) => {
    const { post, token } = await start();
    const partly = signer.sign(notification({ Records: [...s3.Records, { eventVersion: "3.0" }] }));
    const raw = { "x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": TOPIC };
    for (const [message, headers] of [
      [{ ...partly, Signature: "" }, {}],
      [{ ...partly, MessageId: "another" }, {}],
      [signer.sign({ ...partly, TopicArn: `${TOPIC}-2` }), {}],
      [JSON.parse(String(partly["Message"])), raw],
    ] as [unknown, Record<string, string>][]) {
      expect([401, 403]).toContain((await post(message, headers)).status);
    }
    const kept = async () => (await db.pool.query("select source, body from bad_messages order by id")).rows;
    expect(await kept()).toEqual([]);
    expect(await post(partly)).toMatchObject({
      status: 202,
      body: { photos: [{ key, outcome: "accepted" }], putAside: { code: "EVENT_INVALID" } },
    });
    await post(JSON.parse(String(partly["Message"])), { ...raw, authorization: `Bearer ${token}` });
    const rows = await kept();
    expect(rows.map(({ source, body }) => [source, JSON.parse(body)])).toEqual([
      ["http:sns", partly],
      ["http:sns", JSON.parse(String(partly["Message"]))],
    ]);
  });

  test("is put aside once, by the name that SNS signed, whatever is unsigned beside it", async ({
    start,
    db,
  }) => {
    const { post } = await start();
    const wrong = signer.sign(notification({ Records: [{ ...s3.Records[0], eventVersion: "3.0" }] }));
    for (const junk of [1, 2, 3]) expect((await post({ ...wrong, junk })).status).toBe(202);
    const { rows } = await db.pool.query("select message_id from bad_messages");
    expect(rows).toEqual([{ message_id: wrong["MessageId"] }]);
  });

  test("confirms the subscription of a topic that is heard, and no other's", async ({ start }) => {
    const { post, asked } = await start();
    const asks = signer.sign(subscription("SubscriptionConfirmation"));
    const { pathname, search } = new URL(String(asks["SubscribeURL"]));
    const refused = [
      { ...asks, Token: "another" },
      signer.sign(subscription("SubscriptionConfirmation", { TopicArn: `${TOPIC}-2` })),
      signer.sign(subscription("SubscriptionConfirmation", { SubscribeURL: "https://evil.com/?Action=x" })),
      ended.sign(subscription("SubscriptionConfirmation")),
    ];
    for (const message of refused) expect((await post(message)).status).toBe(403);
    expect(asked).toEqual([new URL(CERTIFICATE).pathname]);
    expect(await post(asks)).toMatchObject({ status: 200, body: { photos: [], ignored: 1 } });
    expect(asked.slice(1)).toEqual([pathname + search]);
    expect((await post(signer.sign(subscription("UnsubscribeConfirmation")))).status).toBe(200);
    expect(asked).toHaveLength(2);
  });

  test("is not believed for a certificate that ended, is elsewhere, is none, or is endless", async ({
    start,
    serve,
  }) => {
    const elsewhere: string[] = [];
    const other = await serve((request, response) => {
      elsewhere.push(request.url!);
      response.end(signer.pem);
    });
    let mood = "";
    let sent = 0;
    const sns: RequestListener = (_request, response) => {
      if (mood === "redirect") response.writeHead(302, { location: `${other}/a.pem` }).end();
      if (mood === "missing") response.writeHead(404).end(signer.pem);
      if (mood === "words") response.end("words");
      if (mood === "ended") response.end(ended.pem);
      if (mood === "away") response.writeHead(503).end();
      if (mood === "cut")
        response.writeHead(200, { "content-length": "5000" }).write("-----", () => response.destroy());
      if (mood === "good") response.end(signer.pem);
      if (mood !== "endless") return;
      const more = (): void => {
        sent++;
        if (response.write(Buffer.alloc(65_536, 45))) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    };
    const { post, asked } = await start({ sns });
    const send = async (next: string) => {
      mood = next;
      const message = (next === "ended" ? ended : signer).sign(
        // each certificate at an address of its own, as the good one would be kept
        notification(s3, { SigningCertURL: CERTIFICATE.replace(".pem", `-${next}.pem`) }),
      );
      const { status, body, headers } = await post(message);
      return [status, body.code ?? "", headers.get("retry-after") ? "again" : ""].join(" ").trim();
    };
    expect(await send("redirect")).toBe("403 EVENT_REFUSED");
    expect(elsewhere).toEqual([]);
    expect(await send("missing")).toBe("403 EVENT_REFUSED");
    expect(await send("words")).toBe("403 EVENT_REFUSED");
    expect(await send("ended")).toBe("403 EVENT_REFUSED");
    expect(await send("endless")).toBe("403 EVENT_REFUSED");
    expect(sent).toBeLessThan(500);
    expect(await send("away")).toBe("503 SENDER_UNAVAILABLE again");
    expect(await send("cut")).toBe("503 SENDER_UNAVAILABLE again");
    expect(asked).toHaveLength(7);
    // what failed is asked for again
    mood = "good";
    const words = notification(s3, { SigningCertURL: CERTIFICATE.replace(".pem", "-words.pem") });
    expect((await post(signer.sign(words))).status).toBe(202);
    // what was fetched and had ended is not
    expect(await send("ended")).toBe("403 EVENT_REFUSED");
    expect(asked).toHaveLength(8);
  });

  test("that is delivered raw needs a token, and a topic that is heard", async ({ start, db }) => {
    const { post, token, asked } = await start();
    const raw = { "x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": TOPIC };
    const basic = (user: string, password: string) => ({
      authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
    });
    const bearer = { authorization: `Bearer ${token}` };
    const nobody = await post(s3, raw);
    // SNS sends the password of its endpoint's address once it is asked for one
    expect([nobody.status, nobody.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="maitred"']);
    expect((await post(s3, { ...raw, ...basic("sns", "secret") })).status).toBe(401);
    expect((await post(s3, { ...raw, ...basic(token, "") })).status).toBe(401);
    expect((await post(s3, { ...raw, authorization: "Basic %" })).status).toBe(401);
    // a signed message in the clothes of a raw one is none of either
    expect((await post(signer.sign(notification(s3)), { ...raw, ...bearer })).status).toBe(400);
    for (const topic of [`${TOPIC}-2`, ""]) {
      const answer = await post(s3, { ...raw, ...bearer, "x-amz-sns-topic-arn": topic });
      expect([answer.status, answer.body.code]).toEqual([403, "EVENT_REFUSED"]);
    }
    expect((await post(s3, { "x-amz-sns-rawdelivery": "true", ...bearer })).status).toBe(403);
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
    expect((await post(s3, { ...raw, ...basic("sns", token) })).status).toBe(202);
    expect((await post(s3, { ...raw, ...bearer })).status).toBe(200);
    expect(
      (await post(eventBridge("Object Deleted", { key, sequencer: "ff" }), { ...raw, ...bearer })).status,
    ).toBe(202);
    expect(asked).toEqual([]);
    await db.pool.query("update tokens set scopes = '{read}'");
    expect((await post(s3, { ...raw, ...bearer })).status).toBe(403);
  });

  test("that proves nothing is heard of one address only so often", async ({ start }) => {
    const { post } = await start({ env: { MAITRED_RATE_LIMIT: "2" } });
    const statuses = [];
    for (const _ of [1, 2, 3]) statuses.push((await post({})).status);
    expect(statuses).toEqual([400, 400, 429]);
  });

  test("is not heard where no topic is named", async ({ start }) => {
    const { post, asked } = await start({ env: { MAITRED_SNS_TOPICS: "" } });
    expect(await post(signer.sign(notification(s3)))).toMatchObject({
      status: 403,
      body: { code: "EVENT_REFUSED", detail: expect.stringContaining("MAITRED_SNS_TOPICS") },
    });
    // before the body is read
    expect((await post("x".repeat(2_000_000))).status).toBe(403);
    expect(asked).toEqual([]);
  });
});

test("whatever SNS publishes or delivers raw is answered 200, 202, 400 or 403, as a problem where it is one", async ({
  start,
}) => {
  const { post, token } = await start({ env: { MAITRED_QUEUE_LIMIT: "0" } });
  const raw = {
    "x-amz-sns-rawdelivery": "true",
    "x-amz-sns-topic-arn": TOPIC,
    authorization: `Bearer ${token}`,
  };
  const published = fc.oneof(
    fc.string(),
    fc.jsonValue(),
    fc.constant(s3),
    fc.record({ Records: fc.jsonValue() }),
  );
  const envelope = fc.oneof(
    fc.jsonValue(),
    published.map((message) => signer.sign(notification(message))),
    fc
      .tuple(fc.constantFrom(...Object.keys(signer.sign(notification(s3)))), fc.jsonValue())
      .map(([name, value]) => ({ ...signer.sign(notification(s3)), [name]: value })),
  );
  const check = async (body: unknown, headers: Record<string, string>): Promise<void> => {
    const answer = await post(JSON.stringify(body) ?? "", headers);
    expect([200, 202, 400, 403]).toContain(answer.status);
    const schema = answer.status < 300 ? z.strictObject(noticed.shape) : z.strictObject(problem.shape);
    expect(schema.safeParse(answer.body).error).toBeUndefined();
  };
  await fc.assert(
    fc.asyncProperty(envelope, (body) => check(body, {})),
    { numRuns: 80 },
  );
  await fc.assert(
    fc.asyncProperty(published, (body) => check(body, raw)),
    { numRuns: 40 },
  );
});

test("/openapi.json says of each route how a caller may prove itself", async ({ start }) => {
  const { url } = await start();
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what is tested
  const { paths, components } = (await (await fetch(`${url}/openapi.json`)).json()) as any;
  const { post: sns } = paths["/v1/events/sns"];
  expect(sns.security).toEqual([{}, { password: [] }, { token: [] }]);
  expect(Object.keys(sns.requestBody.content)).toEqual(["application/json", "text/plain"]);
  expect(sns.parameters).toMatchObject([
    { name: "x-amz-sns-rawdelivery", in: "header", required: false },
    { name: "x-amz-sns-topic-arn", in: "header", required: false },
  ]);
  expect(paths["/v1/events/gcs"].post.security).toEqual([{ token: [] }, { oidc: [] }]);
  expect(paths["/v1/events/s3"].post.security).toEqual([{ token: [] }]);
  expect(Object.keys(components.securitySchemes).toSorted()).toEqual(["oidc", "password", "token"]);
});

describe("a push of Pub/Sub", () => {
  const audience = "https://maitred.example/v1/events/gcs";
  const account = "pusher@project.iam.gserviceaccount.com";
  const message = gcsPush("OBJECT_FINALIZE", key, 7);

  async function google() {
    const keys = await generateKeyPair("RS256", { extractable: true });
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: "k1", alg: "RS256", use: "sig" };
    const sign = (over: JWTPayload = {}, kid = "k1", key = keys.privateKey) =>
      new SignJWT({
        email: account,
        email_verified: true,
        exp: Math.floor(Date.now() / 1000) + 3_600,
        ...over,
      })
        .setProtectedHeader({ alg: "RS256", kid, typ: "JWT" })
        .setIssuer(over.iss ?? "https://accounts.google.com")
        .setAudience(over.aud ?? audience)
        .setSubject("113774264463038321964")
        .setIssuedAt()
        .sign(key);
    return { keySet: JSON.stringify({ keys: [jwk] }), sign };
  }
  const push = async ({ url }: Running, token: string, body: object = message): Promise<[number, string]> => {
    const response = await fetch(`${url}/v1/events/gcs`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
    return [response.status, ((await response.json()) as { detail?: string }).detail ?? ""];
  };
  const env = { MAITRED_GCS_AUDIENCE: audience, MAITRED_GCS_ACCOUNT: account };

  test("is taken with a token that Google signed for this audience and account, or with one of ours", async ({
    start,
    serve,
  }) => {
    const { keySet, sign } = await google();
    let fetched = 0;
    const googleKeys = await serve((_request, response) => {
      fetched++;
      response.end(keySet);
    });
    const running = await start({ env, googleKeys });
    expect(await push(running, await sign())).toEqual([202, ""]);
    expect(await push(running, await sign({ iss: "accounts.google.com" }))).toEqual([200, ""]);
    expect(await push(running, running.token)).toEqual([200, ""]);
    expect(fetched).toBe(1);
  });

  test("is put aside once, however Pub/Sub counts its deliveries; with a token of ours its text alone names it", async ({
    start,
    serve,
    db,
  }) => {
    const { keySet, sign } = await google();
    const googleKeys = await serve((_request, response) => response.end(keySet));
    const running = await start({ env, googleKeys });
    const wrong = gcsPush("OBJECT_FINALIZE", "a\0b", 7);
    const deliver = (token: string, deliveryAttempt: number) =>
      push(running, token, { ...wrong, deliveryAttempt });
    for (const attempt of [1, 2, 3]) expect(await deliver(await sign(), attempt)).toEqual([202, ""]);
    const kept = async () => (await db.pool.query("select message_id from bad_messages order by id")).rows;
    const named = { message_id: `${wrong.subscription} ${wrong.message.messageId}` };
    expect(await kept()).toEqual([named]);
    for (const attempt of [1, 1, 2]) expect((await deliver(running.token, attempt))[0]).toBe(202);
    const digest = { message_id: expect.stringMatching(/^[\da-f]{64}$/) };
    expect(await kept()).toEqual([named, digest, digest]);
  });

  test("is refused with any other, and told why", async ({ start, serve, db }) => {
    const { keySet, sign } = await google();
    const another = await google();
    const googleKeys = await serve((_request, response) => response.end(keySet));
    const running = await start({ env, googleKeys });
    const refused: [string, number, RegExp][] = [
      [await sign({ aud: "https://other.example" }), 401, /"aud"/],
      [await sign({ iss: "https://accounts.evil.com" }), 401, /"iss"/],
      [await sign({ exp: Math.floor(Date.now() / 1000) - 60 }), 401, /"exp"/],
      [await sign({ exp: undefined } as never), 401, /"exp"/],
      [await another.sign(), 401, /signature/],
      [await sign({}, "k2"), 401, /no applicable key/],
      [`${(await sign()).split(".").slice(0, 2).join(".")}.AAAA`, 401, /signature/],
      [
        unsigned({ iss: "https://accounts.google.com", aud: audience, email: account, email_verified: true }),
        401,
        /alg/,
      ],
      ["a.b.c", 401, /not valid/],
      [await sign({ email_verified: false }), 403, /verified/],
      [await sign({ email: undefined }), 403, /email/],
      [await sign({ email: "somebody@project.iam.gserviceaccount.com" }), 403, /MAITRED_GCS_ACCOUNT/],
    ];
    for (const [token, status, why] of refused) {
      expect(await push(running, token)).toEqual([status, expect.stringMatching(why)]);
    }
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
    // and such a token opens no other route
    const elsewhere = await fetch(`${running.url}/v1/events/s3`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await sign()}` },
      body: JSON.stringify(s3),
    });
    expect(elsewhere.status).toBe(401);
  });

  test("that is forged counts as a wrong token, and keeps out none that was good", async ({
    start,
    serve,
  }) => {
    const { keySet, sign } = await google();
    const another = await google();
    const googleKeys = await serve((_request, response) => response.end(keySet));
    const running = await start({ env: { ...env, MAITRED_AUTH_LIMIT: "3" }, googleKeys });
    const good = await sign();
    expect((await push(running, good))[0]).toBe(202);
    const forged = [
      await another.sign(),
      await sign({ email: "somebody@example.com" }),
      await sign({}, "k2"),
    ];
    for (const token of forged) expect([401, 403]).toContain((await push(running, token))[0]);
    expect((await push(running, await another.sign({}, "k3")))[0]).toBe(429);
    expect((await push(running, good))[0]).toBe(200);
  });

  test("is taken of no account where none is named, or no audience is", async ({ start, serve }) => {
    const { keySet, sign } = await google();
    const googleKeys = await serve((_request, response) => response.end(keySet));
    // anybody's account has a token of Google for any audience
    await expect(start({ env: { MAITRED_GCS_AUDIENCE: audience }, googleKeys })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/^MAITRED_GCS_ACCOUNT: expected .*serviceAccountEmail/),
    });
    const shut = await start({ googleKeys });
    expect(await push(shut, await sign())).toEqual([401, expect.stringContaining("MAITRED_GCS_AUDIENCE")]);
  });

  test("comes again while Google's keys cannot be had", async ({ start }) => {
    const { sign } = await google();
    expect((await push(await start({ env }), await sign()))[0]).toBe(503);
  });
});

function unsigned(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ exp: 4_000_000_000, ...claims })}.AA`;
}
