import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Access, StoredSession } from "../../src/http/desk/access.ts";
import type { QueueCounts } from "../../src/http/desk/deps.ts";
import { serveLive } from "../../src/http/desk/live.ts";

const LOOK_MS = 1_000;
const access = {
  require: async ({ headers }: FastifyRequest) => ({ id: "s1", name: headers["x-who"] ?? "ann" }),
} as unknown as Access;
const waiting = (photos: number): QueueCounts => ({ kinds: { human: photos }, held: 0, moderators: 1 });
let app: FastifyInstance;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(async () => {
  vi.useRealTimers();
  await app.close();
});

/** Serves pages; answers what failed, and how to open one. */
async function serve(counts: () => Promise<QueueCounts>, signedIn = false) {
  const failed: string[] = [];
  app = fastify({ forceCloseConnections: true });
  let closed = (): void => {};
  app.addHook("onRequest", async (_request, reply) => void reply.raw.once("close", () => closed()));
  serveLive(
    app,
    access,
    {
      counts,
      operate: {} as never,
      access: { findSession: async () => (signedIn ? ({} as StoredSession) : undefined) },
      failed: (error) => void failed.push(error.message),
    },
    LOOK_MS,
  );
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  return {
    failed,
    url: `${url}/desk/api/live`,
    async open() {
      const ending = new AbortController();
      const response = await fetch(`${url}/desk/api/live`, { signal: ending.signal });
      const events = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      return {
        next: async () => (await events.read()).value,
        async close() {
          const gone = new Promise<void>((resolve) => (closed = resolve));
          ending.abort();
          await gone;
        },
      };
    },
  };
}

test("a look that fails is told once until one works again, and the next one tells pages", async () => {
  const answers = [waiting(1), "away", "away", waiting(2), "away"];
  const { failed, open } = await serve(async () => {
    const answer = answers.shift();
    if (typeof answer === "object") return answer;
    throw new Error(answer);
  });
  const page = await open();
  expect(await page.next()).toContain('"human":1');
  await vi.advanceTimersByTimeAsync(3 * LOOK_MS);
  expect(failed).toEqual(["away"]);
  expect(await page.next()).toContain('"human":2');
  await vi.advanceTimersByTimeAsync(LOOK_MS);
  expect(failed).toEqual(["away", "away"]);
  await page.close();
});

test("a page that comes while the last look of another goes on begins no second loop", async () => {
  const looks: (() => void)[] = [];
  let opening = true;
  const { open } = await serve(async () => {
    if (!opening) await new Promise<void>((resolve) => looks.push(resolve));
    return waiting(1);
  });
  const first = await open();
  opening = false;
  await vi.advanceTimersByTimeAsync(LOOK_MS);
  expect(looks).toHaveLength(1);
  await first.close();
  opening = true;
  const second = await open();
  opening = false;
  looks[0]!();
  await vi.advanceTimersByTimeAsync(0);
  await vi.advanceTimersByTimeAsync(LOOK_MS);
  expect(looks).toHaveLength(2);
  looks[1]!();
  await second.close();
});

test("a page hears that the server is there though nothing changes, until its session ends", async () => {
  const { open } = await serve(async () => waiting(1), true);
  const page = await open();
  expect(await page.next()).toContain("event: queue");
  await vi.advanceTimersByTimeAsync(3 * LOOK_MS);
  expect(await page.next()).toBe("event: beat\ndata: {}\n\n");
  await page.close();
});

test("a person who opens many pages, one after the other or at once, keeps no other from theirs", async () => {
  let [asked, answer] = [0, () => {}];
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const { url } = await serve(async () => {
    if (++asked === 500) answer();
    await answered;
    return waiting(1);
  });
  const ending = new AbortController();
  const open = (who: string) => fetch(url, { headers: { "x-who": who }, signal: ending.signal });
  const vics = await Promise.all(Array.from({ length: 500 }, () => open("vic")));
  expect(vics.filter(({ status }) => status === 200)).toHaveLength(20);
  const refused = await open("vic");
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ message: "20 pages of yours are open already: close one" });
  expect((await open("bob")).status).toBe(200);
  const others = Array.from({ length: 479 }, (_, n) => open(`other ${n % 30}`));
  expect((await Promise.all(others)).every(({ status }) => status === 200)).toBe(true);
  const full = await open("ann");
  expect([full.status, full.headers.get("retry-after")]).toEqual([503, "30"]);
  ending.abort();
});
