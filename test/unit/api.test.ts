import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { type AddressInfo, connect, Socket } from "node:net";
import fastify from "fastify";
import { expect, test } from "vitest";
import { UpstreamError } from "../../src/errors.ts";
import { serveApi } from "../../src/http/api.ts";
import { boundConnections, boundedServer, limitBodiesInFlight } from "../../src/http/connections.ts";
import type { ApiDeps } from "../../src/http/route.ts";
import { isSecret } from "../../src/http/secrets.ts";
import { bearerOf, createToken } from "../../src/http/tokens.ts";

const { token, id, hash } = createToken();
const SETTINGS = {
  host: "127.0.0.1",
  apiPort: 0,
  trustedProxies: [],
  rateLimit: 0,
  authLimit: 0,
  queueLimit: 1,
  version: "0",
};

function depsWith(over: Partial<ApiDeps>): ApiDeps {
  const nothing = async (): Promise<undefined> => undefined;
  return {
    findToken: async () => ({ id, name: "ann", hash, scopes: ["ingest"] }),
    take: async () => [],
    keepBad: async () => "kept",
    waiting: async () => 0,
    openAppeal: nothing,
    readPhoto: nothing,
    readPhotoOf: nothing,
    senders: { hearsSns: true, openSns: nothing, checkTopic() {}, openPubSub: async () => "" },
    takeKey: async (_token, _key, request) => ({ request, answered: undefined }),
    keepAnswer: async (_, __, ___, answer) => answer,
    freeKey: nothing,
    gauges: [],
    ...over,
  };
}

async function answer(
  over: Partial<ApiDeps>,
): Promise<{ response: Response; text: string; failed: Error[] }> {
  const failed: Error[] = [];
  const deps = depsWith(over);
  const api = await serveApi(SETTINGS, deps, {
    answered() {},
    failed: (error) => void failed.push(error),
  });
  try {
    const response = await fetch(`${api.url}/v1/photos`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ bucket: "b", key: "a" }),
    });
    return { response, text: await response.text(), failed };
  } finally {
    await api.close();
  }
}

test.each(["findToken", "take", "waiting"] as const)(
  "while a server is away for %s the caller is told to come again, and not which server",
  async (name) => {
    const away = new UpstreamError("DATABASE_UNAVAILABLE", "Postgres: connect ECONNREFUSED 10.0.0.7:5432");
    const { response, text, failed } = await answer({ [name]: () => Promise.reject(away) });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(JSON.parse(text)).toMatchObject({ status: 503, code: "DATABASE_UNAVAILABLE" });
    expect(text).not.toContain("10.0.0.7");
    expect(failed).toEqual([away]);
  },
);

test("a bug is answered 500, and told to the log alone", async () => {
  const bug = new TypeError("cannot read properties of secret");
  const { response, text, failed } = await answer({ take: () => Promise.reject(bug) });
  expect(response.status).toBe(500);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(text).not.toContain("secret");
  expect(failed).toEqual([bug]);
});

test.each([
  ["a header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "],
  [
    "a body",
    `POST /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{`,
  ],
])("%s that never ends is answered 408, and the connection ends", async (_name, text) => {
  const deps = depsWith({});
  const patience = { headerMs: 200, requestMs: 300, idleMs: 120_000, lookMs: 50 };
  const api = await serveApi({ ...SETTINGS, patience }, deps, { answered() {}, failed() {} });
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1", () => socket.write(text));
  let heard = "";
  for await (const chunk of socket) heard += chunk;
  expect(heard).toMatch(/^HTTP\/1.1 408 /);
  expect(heard).toContain("application/problem+json");
  await api.close();
});

test("a connection that asks on and on before it has its answers ends, and one that asks a little ahead has them", async () => {
  let asked = 0;
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const app = fastify();
  boundConnections(app);
  app.get("/", async () => {
    asked++;
    await answered;
    return "x";
  });
  await app.listen();
  const { port } = app.server.address() as AddressInfo;
  const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  const greedy = connect(port, "127.0.0.1", () => greedy.write(request.repeat(1_000)));
  await once(
    greedy.on("error", () => {}),
    "close",
  );
  expect(asked).toBe(16);
  answer();
  const modest = connect(port, "127.0.0.1", () => modest.write(request.repeat(16)));
  let heard = "";
  for await (const chunk of modest) {
    heard += chunk;
    const answers = heard.split("HTTP/1.1 200").length - 1;
    if (answers === 16) modest.write(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  }
  expect(heard.split("HTTP/1.1 200")).toHaveLength(18);
  await app.close();
});

test("a connection whose answer is never read ends", async () => {
  const patience = { headerMs: 20_000, requestMs: 60_000, idleMs: 200, lookMs: 50 };
  const app = fastify(boundedServer(patience));
  app.get("/", async () => Buffer.alloc(50_000_000));
  await app.listen();
  const ended = new Promise((resolve) => {
    app.server.once("connection", (socket) => socket.once("close", resolve));
  });
  const { port } = app.server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  socket.on("error", () => {}).pause();
  await ended;
  socket.destroy();
  await app.close();
});

test("strangers who send slowly keep nobody out, and are not waited for without end", async () => {
  const api = await serveApi(SETTINGS, depsWith({}), { answered() {}, failed() {} });
  const head =
    "POST /v1/events/sns HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n";
  const slow = [];
  for (let n = 0; n < 64; n++) {
    const socket = connect(Number(new URL(api.url).port), "127.0.0.1");
    socket.on("error", () => {}).write(`${head}Expect: 100-continue\r\n\r\n{`);
    // it is there before the next one is
    await once(socket, "data");
    slow.push(socket);
  }
  const first = once(slow[0]!, "close");
  let answered = "";
  slow[0]!.on("data", (chunk) => (answered += chunk));
  const { status } = await fetch(`${api.url}/v1/events/sns`, {
    method: "POST",
    headers: { "content-type": "text/plain" },
    body: "{}",
  });
  expect(status).toBe(200);
  await first;
  // else it would be told that its time is over
  expect(answered).toBe("");
  expect(slow.filter(({ closed }) => closed)).toHaveLength(1);
  for (const socket of slow) socket.destroy();
  await api.close();
});

test("where too many uploads wait, or nobody can say how many, an appeal is taken all the same", async () => {
  const openAppeal = async () => ({ at: "2026-01-02T03:04:05.678Z", fresh: true });
  const ask = async (waiting: () => Promise<number>): Promise<number[]> => {
    const api = await serveApi(SETTINGS, depsWith({ waiting, openAppeal }), { answered() {}, failed() {} });
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const post = async (path: string, body: object): Promise<number> =>
      (await fetch(api.url + path, { method: "POST", headers, body: JSON.stringify(body) })).status;
    const answers = [
      await post("/v1/photos", { bucket: "b", key: "a" }),
      await post("/v1/photos/1/appeal", { reason: "it is a statue" }),
    ];
    await api.close();
    return answers;
  };
  expect(await ask(async () => 1)).toEqual([429, 201]);
  const away = new UpstreamError("QUEUE_UNAVAILABLE", "Redis: connect ECONNREFUSED");
  expect(await ask(() => Promise.reject(away))).toEqual([503, 201]);
});

test("what is asked while the process ends is a problem that says when to come again", async () => {
  let read = (): void => {};
  let answer = (): void => {};
  const isRead = new Promise<void>((resolve) => {
    read = resolve;
  });
  const answered = new Promise<undefined>((resolve) => {
    answer = () => resolve(undefined);
  });
  const findToken = async () => ({ id, name: "ann", hash, scopes: ["read"] });
  const readPhoto = () => {
    read();
    return answered;
  };
  const api = await serveApi(SETTINGS, depsWith({ findToken, readPhoto }), { answered() {}, failed() {} });
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1");
  const request = `GET /v1/photos/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  socket.write(request);
  await isRead;
  const closed = api.close();
  // nobody new is let in
  await expect.poll(() => fetch(`${api.url}/healthz`).catch(() => "refused")).toBe("refused");
  socket.write(request);
  answer();
  let heard = "";
  for await (const chunk of socket) heard += chunk;
  const [, first, second] = heard.split("HTTP/1.1 ");
  expect(first).toMatch(/^404 /);
  expect(second).toMatch(/^503 /);
  expect(second).toMatch(/^retry-after: \d+\r$/m);
  expect(second).toContain("application/problem+json");
  await closed;
});

test("a token is told from another by its hash alone, and holds 256 random bits", () => {
  const other = createToken();
  expect(bearerOf(`Bearer ${token}`)).toEqual({ token, id });
  expect(isSecret(token, hash)).toBe(true);
  expect(isSecret(token, other.hash)).toBe(false);
  expect(isSecret(token, new Uint8Array(3))).toBe(false);
  expect(Buffer.from(token.split("_").slice(2).join("_"), "base64url")).toHaveLength(32);
  for (const header of [undefined, "", token, `Basic ${token}`, `Bearer ${token}x`, "Bearer mtd_x_y"]) {
    expect(bearerOf(header)).toBeUndefined();
  }
});

test("of strangers who come in one turn each makes room by itself, and whoever has left takes none", () => {
  const arrive = limitBodiesInFlight(2);
  const stranger = () => new IncomingMessage(new Socket());
  const left = stranger();
  left.destroy();
  const all = [stranger(), stranger(), stranger(), stranger()];
  for (const request of [all[0]!, left, all[1]!]) arrive(request);
  expect(all[0]!.destroyed).toBe(false);
  for (const request of all.slice(2)) arrive(request);
  expect(all.map(({ destroyed }) => destroyed)).toEqual([true, true, false, false]);
});
