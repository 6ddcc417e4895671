import { expect } from "vitest";
import { z } from "zod";
import { deskRoutes } from "../src/http/desk/desk.ts";
import { problem } from "../src/http/problem.ts";
import { createToken, type Scope as TokenScope } from "../src/http/tokens.ts";
import { createLog } from "../src/log.ts";
import { addToken } from "../src/store/tokens.ts";
import { type RunningApi, startApi } from "../workers/api.ts";
import { test as base, type Database } from "./fixtures.ts";

interface DeskAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  body: any;
}

/** A browser that somebody is signed in with. */
export interface Person {
  name: string;
  tokenId: string;
  cookie: string;
  /** Asks, and checks that the answer has the shape that its route says. */
  ask(method: "GET" | "POST" | "DELETE", path: string, body?: unknown, headers?: object): Promise<DeskAnswer>;
}

export interface Desk extends RunningApi {
  /** As nobody. */
  ask(method: "GET" | "POST" | "DELETE", path: string, body?: unknown, headers?: object): Promise<DeskAnswer>;
  /** Makes a token of these scopes and signs in with it. */
  signIn(name: string, ...scopes: TokenScope[]): Promise<Person>;
}

export const test = base.extend<{ openDesk(env?: Record<string, string>): Promise<Desk> }>({
  openDesk: async ({ configFor, db, scope }, use) => {
    await use(async (env = {}) => {
      const config = configFor("postgres", { MAITRED_API_PORT: "0", ...env });
      const api = await startApi(config, createLog("silent"), scope);
      const ask = askerOf(api.url, "");
      return {
        ...api,
        ask,
        async signIn(name, ...scopes) {
          const { id, token, hash } = createToken();
          expect(await addToken(db.pool, { id, name, hash, scopes })).toBe(true);
          const { status, headers } = await ask("POST", "/desk/api/session", { token });
          expect(status).toBe(200);
          const cookie = headers.getSetCookie()[0]!.split(";")[0]!;
          return { name, tokenId: id, cookie, ask: askerOf(api.url, cookie) };
        },
      };
    });
  },
});

export function askerOf(url: string, cookie: string): Desk["ask"] {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      redirect: "manual",
      headers: {
        ...(cookie !== "" && { cookie }),
        ...(method !== "GET" && { "x-maitred-desk": "1" }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const type = response.headers.get("content-type") ?? "";
    const isJson = type.includes("json");
    const bytes = Buffer.from(await response.arrayBuffer());
    const answer = {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(bytes.toString()) : bytes,
    };
    checkAnswer(method, path, answer);
    return answer;
  };
}

function checkAnswer(method: string, path: string, { status, headers, body }: DeskAnswer): void {
  const route = deskRoutes.find(
    (each) => each.method === method && new RegExp(`^${each.url.replace(":id", "[^/?]+")}(\\?|$)`).test(path),
  );
  expect(status).not.toBe(500);
  if (status >= 400) {
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(z.strictObject(problem.shape).parse(body).status).toBe(status);
  } else if (route && status !== 204) {
    expect(route.answer.parse(body)).toEqual(body);
  }
}

export interface Judged {
  key?: string;
  state?: "shown" | "hidden" | "review";
  rule?: string;
  listing?: string | null;
  category?: string;
  human?: number;
  registeredAt?: Date;
}

/** Photos that a model judged so; answers their ids. */
export async function judged(db: Database, photos: readonly Judged[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ id: string }>(
    `with made as (
      insert into photos (store, bucket, key, version, listing, state, category, human, rule, reason, decided_by, policy,
        decided_at, registered_at)
      select 's3', 'photos', p.key, 'v1', p.listing, p.state, p.category, p.human, p.rule, 'because', 'model:restaurant-6', 'p1',
        now(), coalesce(p."registeredAt", now())
      from jsonb_to_recordset($1) as p (
        key text, listing text, state text, category text, human real, rule text, "registeredAt" timestamptz)
      returning *
    ), given as (
      insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy)
      select id, state, rule, reason, category, human, jsonb_build_object(category, 0.5), decided_by, policy
      from made order by id
    ), tagged as (
      insert into tags (photo_id, category, score, threshold, model) select id, category, 0.5, 0.4, decided_by from made
    )
    select id from made order by id`,
    [
      JSON.stringify(
        photos.map((photo, n) => ({
          key: `42/${n}.jpg`,
          state: "review",
          rule: photo.state === "shown" ? "clear" : photo.state === "hidden" ? "human" : "human-uncertain",
          listing: "42",
          category: "food",
          human: 0.2,
          ...photo,
        })),
      ),
    ],
  );
  return rows.map(({ id }) => id);
}
