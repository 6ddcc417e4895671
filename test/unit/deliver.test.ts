import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { type Addresses, createAddresses, inTurns } from "../../src/deliver/addresses.ts";
import { createDeliverer, type Settled, waitMs } from "../../src/deliver/deliverer.ts";
import type { Attempt, Claim } from "../../src/deliver/message.ts";
import { createTagger, type PhotoNow, type PhotoTags } from "../../src/deliver/object-tags.ts";
import { createWebhookSender, retryAfterMs } from "../../src/deliver/webhook.ts";
import { createSecret, sign } from "../../src/signature.ts";
import { latch } from "../waits.ts";

const hostOf = (address: string): string =>
  new URL(address.includes(":") ? `https://[${address}]/` : `https://${address}/`).hostname;

describe("addresses", () => {
  test.each([
    ["loopback", "127.0.0.1"],
    ["loopback in short", "127.1"],
    ["loopback as one number", "2130706433"],
    ["loopback in hexadecimal", "0x7f.0.0.1"],
    ["loopback in octal", "0177.0.0.1"],
    ["loopback in full-width digits", "１２７.0.0.1"],
    ["the unspecified", "0.0.0.0"],
    ["private 10", "10.1.2.3"],
    ["private 172.16", "172.31.255.255"],
    ["private 192.168", "192.168.0.1"],
    ["shared", "100.100.100.200"],
    ["link-local, where clouds keep metadata", "169.254.169.254"],
    ["metadata of Azure", "168.63.129.16"],
    ["metadata of Oracle", "192.0.0.192"],
    ["documentation", "203.0.113.7"],
    ["multicast", "224.0.0.1"],
    ["broadcast", "255.255.255.255"],
    ["loopback of IPv6", "::1"],
    ["the unspecified of IPv6", "::"],
    ["link-local of IPv6", "fe80::1"],
    ["unique local", "fd00:ec2::254"],
    ["site-local", "fec0::1"],
    ["loopback mapped", "::ffff:127.0.0.1"],
    ["private mapped", "::ffff:10.0.0.1"],
    ["public mapped", "::ffff:8.8.8.8"],
    ["loopback compatible", "::127.0.0.1"],
    ["loopback through NAT64", "64:ff9b::7f00:1"],
    ["private through local NAT64", "64:ff9b:1::a00:1"],
    ["loopback through 6to4", "2002:7f00:1::1"],
    ["Teredo", "2001::1"],
    ["documentation of IPv6", "2001:db8::1"],
    ["multicast of IPv6", "ff02::1"],
  ])("of %s are refused: %s", (_, address) => {
    expect(createAddresses([]).permits(hostOf(address), true)).toBe(false);
  });

  test.each(["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])(
    "of the public internet are permitted over TLS alone: %s",
    (address) => {
      expect(createAddresses([]).permits(hostOf(address), true)).toBe(true);
      expect(createAddresses([]).permits(hostOf(address), false)).toBe(false);
    },
  );

  test("that are allowed are permitted, over plain HTTP too, also where they come mapped, and their neighbours are not", () => {
    const addresses = createAddresses(["10.1.0.0/16", "fd00:1::/32"]);
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5"]) {
      expect(addresses.permits(hostOf(address), false)).toBe(true);
    }
    for (const address of ["10.2.0.1", "::ffff:10.2.0.1", "fd00:2::5"]) {
      expect(addresses.permits(hostOf(address), true)).toBe(false);
    }
  });

  test.each([
    [["10.0.0.1"], "refused"],
    [["10.0.0.1", "8.8.8.8"], ["8.8.8.8"]],
    [
      ["8.8.8.8", "2606:4700::1111"],
      ["8.8.8.8", "2606:4700::1111"],
    ],
    [["::ffff:169.254.169.254"], "refused"],
  ])("of a name that answers %j come to %j at the socket, however the socket asks", async (answers, open) => {
    const resolve = async () =>
      answers.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    const lookup = createAddresses([], resolve).lookup(true);
    const ask = (all: boolean): Promise<unknown> =>
      new Promise((done) =>
        lookup("rebound.example", { all }, (error, found) => done(error ? error.message : found)),
      );
    if (open === "refused") {
      expect(await ask(true)).toContain("no address of the public internet");
      expect(await ask(false)).toContain("no address of the public internet");
    } else {
      expect(await ask(true)).toMatchObject((open as string[]).map((address) => ({ address })));
      expect(await ask(false)).toBe(open[0]);
    }
  });
});

test.each([
  ["10.0.0.1", "rebound.example is no address of the public internet"],
  ["8.8.8.8", "rebound.example may be called with https alone"],
])("plain HTTP to a name that answers %s is refused with what would help", (address, message) => {
  const lookup = createAddresses([], async () => [{ address, family: 4 }]).lookup(false);
  return new Promise<void>((done) =>
    lookup("rebound.example", {}, (error) => {
      expect(error?.message).toContain(message);
      done();
    }),
  );
});

test("a name is judged as one that is called over TLS only where it is", async () => {
  const asked: boolean[] = [];
  const lookup: Addresses["lookup"] = (encrypted) => (_name, _options, callback) => {
    asked.push(encrypted);
    callback(new Error("nobody is called so"), []);
  };
  const sender = createWebhookSender({ permits: () => true, lookup }, { timeoutMs: 30_000, agent: "test" });
  for (const url of ["http://app.example/", "https://app.example/"])
    await sender.post({ url, secrets: [createSecret()], id: "a", body: "{}" });
  expect(asked).toEqual([false, true]);
});

test("names that hang, and are asked for one after the other, hold up no name that was found before", async () => {
  const asked: { name: string; settle(error?: Error): void }[] = [];
  const resolve = inTurns(
    (name) =>
      new Promise((done, fail) => {
        asked.push({ name, settle: (error) => (error ? fail(error) : done([])) });
      }),
  );
  const names = () => asked.map(({ name }) => name);
  const good = resolve("good");
  await expect.poll(names).toEqual(["good"]);
  asked[0]!.settle();
  await good;
  const hanging = ["one", "other", "one"].map((name) => resolve(name));
  await expect.poll(names).toEqual(["good", "one"]);
  const again = resolve("good");
  expect(names()).toEqual(["good", "one", "good"]);
  asked[1]!.settle(new Error("EAI_AGAIN"));
  await expect(hanging[0]).rejects.toThrow("EAI_AGAIN");
  await expect(hanging[2]).rejects.toThrow("EAI_AGAIN");
  await expect.poll(names).toEqual(["good", "one", "good", "other"]);
  asked[2]!.settle(new Error("EAI_AGAIN"));
  await expect(again).rejects.toThrow("EAI_AGAIN");
  // it is one of them now, and waits for the one that hangs
  void resolve("good");
  asked[3]!.settle();
  await hanging[1];
  await expect.poll(names).toEqual(["good", "one", "good", "other", "good"]);
  // of those that wait, one that was never asked for goes first
  void resolve("one");
  void resolve("new");
  asked[4]!.settle();
  await expect.poll(names).toEqual(["good", "one", "good", "other", "good", "new"]);
});

describe("backoff", () => {
  test("doubles, stays at twelve hours, and makes three days of nineteen attempts", () => {
    expect([1, 2, 3].map((attempt) => waitMs(attempt, 5_000, 0.5))).toEqual([5_000, 10_000, 20_000]);
    expect(waitMs(500, 5_000, 0.5)).toBe(43_200_000);
    const total = Array.from({ length: 18 }, (_, n) => waitMs(n + 1, 5_000, 0.5)).reduce((a, b) => a + b);
    expect(total / 86_400_000).toBeGreaterThan(2.8);
    expect(total / 86_400_000).toBeLessThan(3.1);
  });

  test("gives or takes a fifth", () => {
    expect(waitMs(1, 1_000, 0)).toBe(800);
    expect(waitMs(1, 1_000, 1)).toBeCloseTo(1_200);
  });

  test.each([
    ["120", 120_000],
    ["0", 0],
    ["99999999", 86_400_000],
    ["Thu, 01 Jan 1970 00:00:30 GMT", 20_000],
    ["Wed, 31 Dec 1969 00:00:00 GMT", 0],
    ["soon", undefined],
    [undefined, undefined],
  ])("reads Retry-After %j as %j ms", (header, ms) => {
    expect(retryAfterMs(header, 10_000)).toBe(ms);
  });
});

type Deps = Parameters<typeof createDeliverer>[0];
/** Of nineteen attempts, which looks when it is told to. */
const open = ({
  atOnce = 1,
  attempted = () => {},
  ...deps
}: Partial<Deps> & Pick<Deps, "claim" | "tell"> & { atOnce?: number; attempted?: () => void }) =>
  createDeliverer(
    { settle: async () => {}, disable: async () => {}, ...deps },
    { total: atOnce, each: atOnce, attempts: 19, backoffMs: 5_000, pollMs: 60_000 },
    { attempted, unwell: () => {} },
  );

/** What becomes of attempt number `attempt`, of 19. */
const settledAfter = (attempt: number, tell: () => Promise<Attempt>): Promise<Settled> =>
  new Promise((resolve) => {
    const claims = [[{ destination: "d", attempt } as Claim]];
    const deliverer = open({
      claim: async () => claims.pop() ?? [],
      settle: async (_, settled) => resolve(settled),
      tell,
      attempted: () => void deliverer.close(),
    });
    deliverer.look();
  });

describe("a delivery that failed", () => {
  test("has why in one line", async () => {
    const fails = () => Promise.reject(new Error("XML parse error.\n  To see more:\tlook"));
    expect(await settledAfter(1, fails)).toMatchObject({
      state: "pending",
      note: "XML parse error. To see more: look",
    });
  });

  test.each([
    [1, 60_000, 60_000],
    [1, 1_000, 4_000],
    [14, 60_000, 32_768_000],
  ])(
    "attempt %i whose receiver asks for %i ms waits that long or, where that is longer, as long as any",
    async (attempt, retryAfterMs, atLeast) => {
      const busy = async (): Promise<Attempt> => ({
        outcome: "failed",
        why: "it answered 503",
        retryAfterMs,
      });
      expect((await settledAfter(attempt, busy)).waitMs).toBeGreaterThanOrEqual(atLeast);
    },
  );
});

test.each<[number, Attempt, object]>([
  [18, { outcome: "failed", why: "no" }, { state: "pending" }],
  [19, { outcome: "failed", why: "no" }, { state: "dead", waitMs: 0 }],
  [1, { outcome: "failed", why: "no", final: true }, { state: "dead", waitMs: 0 }],
  [19, { outcome: "refused", why: "gone" }, { state: "pending", waitMs: 0 }],
])("attempt %i of 19 that ends as %j leaves %j", async (attempt, told, left) => {
  expect(await settledAfter(attempt, async () => told)).toMatchObject(left);
});

test("deliveries are claimed as others end, as many as there is room for, and none once it closes", async () => {
  const waiting = ["d", "e", "d", "e"].map((destination, n) => ({ destination, seq: String(n) }) as Claim);
  const told = waiting.map(() => latch());
  const asked: [object, number][] = [];
  const deliverer = open({
    atOnce: 2,
    async claim(busy, _each, total) {
      asked.push([{ ...busy }, total]);
      return waiting.splice(0, total);
    },
    async tell({ seq }) {
      await told[Number(seq)]!.promise;
      return { outcome: "delivered" };
    },
  });
  deliverer.look();
  await new Promise(setImmediate);
  deliverer.look();
  await new Promise(setImmediate);
  expect(asked).toEqual([[{}, 2]]);
  told[0]!.resolve();
  await new Promise(setImmediate);
  expect(asked.slice(1)).toEqual([[{ e: 1 }, 1]]);
  let closed = false;
  const closing = deliverer.close().then(() => {
    closed = true;
  });
  told[1]!.resolve();
  await new Promise(setImmediate);
  expect(closed).toBe(false);
  told[2]!.resolve();
  await closing;
  expect([asked.length, waiting.length]).toEqual([2, 1]);
});

test("what is claimed as it closes is told first", async () => {
  const [claimed, order]: [ReturnType<typeof latch>, string[]] = [latch(), []];
  const deliverer = open({
    async claim() {
      await claimed.promise;
      return [{ destination: "d", seq: "1" } as Claim];
    },
    async tell() {
      order.push("told");
      return { outcome: "delivered" };
    },
  });
  deliverer.look();
  const closing = deliverer.close().then(() => order.push("closed"));
  claimed.resolve();
  await closing;
  expect(order).toEqual(["told", "closed"]);
});

test("a signature is the one that the library of Standard Webhooks makes", () => {
  const [one, two] = [createSecret(), createSecret()];
  const at = new Date(1_700_000_000_000);
  const [id, body] = ["msg_1", '{"key":"café 🍜"}'];
  const theirs = [one, two].map((secret) => new Webhook(secret).sign(id, at, body)).join(" ");
  expect(sign([one, two], id, 1_700_000_000, body)).toBe(theirs);
  expect(sign([one, two], id, 1_700_000_000, Buffer.from(body))).toBe(theirs);
});

describe("the tagger", () => {
  const payload = { id: "1", sequence: 1, store: "s3", bucket: "b", key: "k", version: "etag:1" };
  const shown: PhotoNow = { state: "shown", category: "food", current: true };

  test("looks once more after writing, so that a verdict given meanwhile is not undone", async () => {
    const now = [shown, ...Array<PhotoNow>(3).fill({ ...shown, state: "hidden" })];
    const set: (PhotoTags | null)[] = [];
    const tag = createTagger({
      photoOf: async () => now.shift(),
      setTags: async ({ version }, tagsFor) => {
        set.push(await tagsFor(version));
        return { became: "tagged" };
      },
    });
    expect(await tag({ payload })).toEqual({ outcome: "delivered" });
    expect(set.map((tags) => tags?.["maitred-verdict"])).toEqual(["shown", "hidden"]);
  });

  test.each([
    ["none, where nothing is known of them", undefined, undefined],
    ["those of their own verdict", { ...shown, state: "hidden" }, "hidden"],
  ])("gives bytes that took the photo's place meanwhile %s", async (_, later, verdict) => {
    const set: [string, string | undefined][] = [];
    const tag = createTagger({
      photoOf: async ({ version }) => (version === "etag:1" ? shown : later),
      setTags: async ({ version }, tagsFor) => {
        set.push([version, (await tagsFor(version))?.["maitred-verdict"]]);
        return version === "etag:1" ? { became: "overtaken", version: "etag:2" } : { became: "tagged" };
      },
    });
    expect(await tag({ payload })).toMatchObject({ outcome: "delivered" });
    expect(set).toEqual([
      ["etag:1", "shown"],
      ["etag:2", verdict],
    ]);
  });

  test("gives up for now where it changes each time", async () => {
    let turn = 0;
    const tag = createTagger({
      photoOf: async () => ({ ...shown, state: turn++ % 2 ? "shown" : "hidden" }),
      setTags: async ({ version }, tagsFor) => {
        await tagsFor(version);
        return { became: "tagged" };
      },
    });
    expect(await tag({ payload })).toMatchObject({ outcome: "failed" });
  });

  test.each([
    ["those of the photo, where it has none of its own", undefined, "shown"],
    ["those of its own photo", { ...shown, state: "hidden" }, "hidden"],
    ["none, where its own photo waits for a verdict", { ...shown, state: "pending" }, undefined],
    ["what says so, where its own photo is not current", { ...shown, current: false }, "withdrawn"],
  ])("gives a version with the photo's bytes %s", async (_, own, verdict) => {
    const set: (string | undefined)[] = [];
    const tag = createTagger({
      photoOf: async ({ version }) => (version === "etag:1" ? shown : own),
      setTags: async (_photo, tagsFor) => {
        set.push((await tagsFor("v1"))?.["maitred-verdict"]);
        return { became: "tagged" };
      },
    });
    expect(await tag({ payload })).toEqual({ outcome: "delivered" });
    expect(set).toEqual([verdict]);
  });
});
