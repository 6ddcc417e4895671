import fastify, { type FastifyRequest } from "fastify";
import { expect, test, vi } from "vitest";
import type { Access } from "../../src/http/desk/access.ts";
import type { DeskDeps } from "../../src/http/desk/deps.ts";
import { linksOf } from "../../src/http/desk/links.ts";
import { PICTURES_AT_ONCE, servePictures } from "../../src/http/desk/pictures.ts";

const SECRET = "secret";
const access = {
  require: async ({ headers }: FastifyRequest) => ({ secret: SECRET, name: headers["x-who"] }),
} as unknown as Access;

/** Serves pictures that are made once the test says so, of people who say who they are. */
function serve() {
  const app = fastify();
  const begun: { id: string; finish(): void }[] = [];
  servePictures(app, access, {
    picture: (id) =>
      new Promise((resolve) => begun.push({ id, finish: () => resolve(Buffer.from(`picture ${id}`)) })),
    heat: async () => ({ clear: true }) as Awaited<ReturnType<DeskDeps["heat"]>>,
  });
  return {
    begun,
    ask: (who: string, id: string, size: "small" | "heat" = "small", madeAt = new Date()) =>
      app.inject({ url: linksOf(SECRET, { id, asOf: "0" }, madeAt)[size], headers: { "x-who": who } }),
  };
}

test("however many pictures one person waits for, another waits for one of them, and heat maps for none", async () => {
  const { begun, ask } = serve();
  const vics = Array.from({ length: 520 }, (_, n) => ask("vic", String(n + 1)));
  await vi.waitFor(() => expect(begun).toHaveLength(PICTURES_AT_ONCE));
  const refused = await vics.at(-1)!;
  expect(refused).toMatchObject({ statusCode: 429, headers: { "retry-after": "5" } });
  expect(refused.json().message).toBe("500 pictures of yours wait already: try again");

  const anns = ask("ann", "1000");
  expect((await ask("vic", "1", "heat")).statusCode).toBe(200);
  for (const n of [0, 1]) {
    begun[n]!.finish();
    await vi.waitFor(() => expect(begun).toHaveLength(PICTURES_AT_ONCE + n + 1));
  }
  expect(begun.slice(PICTURES_AT_ONCE).map(({ id }) => id)).toEqual([String(PICTURES_AT_ONCE + 1), "1000"]);
  begun.at(-1)!.finish();
  expect((await anns).body).toBe("picture 1000");
  // and each of them comes, and leaves room for the next
  for (let n = 2; n < PICTURES_AT_ONCE + 501; n++) {
    await vi.waitFor(() => expect(begun.length).toBeGreaterThan(n));
    begun[n]!.finish();
  }
  const answers = (await Promise.all(vics)).map(({ statusCode }) => statusCode);
  expect(answers.filter((status) => status === 200)).toHaveLength(PICTURES_AT_ONCE + 500);
  const last = Array.from({ length: PICTURES_AT_ONCE }, (_, n) => ask("vic", String(2_000 + n)));
  await vi.waitFor(() => expect(begun).toHaveLength(2 * PICTURES_AT_ONCE + 501));
  for (const { finish } of begun.slice(-PICTURES_AT_ONCE)) finish();
  await Promise.all(last);
});

test("a link that was made more than ten minutes ago opens nothing", async () => {
  const { ask } = serve();
  const tenMinutesAgo = Date.now() - 600_000;
  expect((await ask("ann", "1", "heat", new Date(tenMinutesAgo + 301_000))).statusCode).toBe(200);
  expect((await ask("ann", "1", "heat", new Date(tenMinutesAgo - 1_000))).statusCode).toBe(403);
});
