import { expect } from "vitest";
import { z } from "zod";
import { problem } from "../src/http/problem.ts";
import { routes } from "../src/http/routes.ts";
import { createToken, type Scope as TokenScope } from "../src/http/tokens.ts";
import { createLog } from "../src/log.ts";
import { openQueues } from "../src/queue/queues.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { addToken } from "../src/store/tokens.ts";
import { startApi } from "../workers/api.ts";
import { type Backend, test as base } from "./fixtures.ts";

export interface Answered {
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

export const test = base.extend<{ start(backend?: Backend, env?: Record<string, string>): Promise<Api> }>({
  start: async ({ configFor, db, scope }, use) => {
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
