import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createLimits, networkOf, remember } from "../../src/http/limits.ts";
import type { HttpProblem } from "../../src/http/problem.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const refusal = (work: Promise<void>): Promise<HttpProblem | undefined> =>
  work.then(
    () => undefined,
    (error: HttpProblem) => error,
  );

describe("a token", () => {
  test("that asks too often is told when to come again, and may then", async () => {
    const { consumeToken: good } = createLimits({ rateLimit: 3, authLimit: 0 });
    for (const _ of [1, 2, 3]) await good("a", "token a");
    vi.advanceTimersByTime(20_000);
    const refused = await refusal(good("a", "token a"));
    expect(refused).toMatchObject({ status: 429, headers: { "retry-after": "40" }, reason: "rate" });
    expect(await refusal(good("b", "token b"))).toBeUndefined();
    vi.advanceTimersByTime(40_000);
    expect(await refusal(good("a", "token a"))).toBeUndefined();
  });

  test("of a platform whose uploads come in bursts of thousands is never told so", async () => {
    const { consumeToken: good } = createLimits({ rateLimit: 120_000, authLimit: 60 });
    for (let n = 0; n < 60 * 20 + 50_000; n++) await good("a", "token a");
  });
});

describe("an address that sent too many wrong tokens", () => {
  const spoiled = async (address = "1.2.3.4") => {
    const limits = createLimits({ rateLimit: 0, authLimit: 2 });
    await limits.checkAttempt(address, "good");
    await limits.consumeToken("a", "good");
    for (const token of ["x", "y"]) {
      await limits.checkAttempt(address, token);
      await limits.recordFailure(address, token);
    }
    return limits;
  };

  test("is not heard, until a minute is over", async () => {
    const { checkAttempt: guess } = await spoiled();
    expect(await refusal(guess("1.2.3.4", "z"))).toMatchObject({ status: 429, reason: "guessing" });
    expect(await refusal(guess("1.2.3.5", "z"))).toBeUndefined();
    vi.advanceTimersByTime(60_000);
    expect(await refusal(guess("1.2.3.4", "z"))).toBeUndefined();
  });

  test("does no harm to those behind it whose token was good, until it is no longer", async () => {
    const { checkAttempt: guess, recordFailure: wrong } = await spoiled();
    await guess("1.2.3.4", "good");
    await wrong("1.2.3.4", "good");
    expect(await refusal(guess("1.2.3.4", "good"))).toMatchObject({ status: 429 });
  });

  test("gains nothing from the other addresses of its network", async () => {
    const { checkAttempt: guess } = await spoiled("2001:db8:1:2::1");
    expect(await refusal(guess("2001:db8:1:2:ffff::9", "z"))).toMatchObject({ status: 429 });
    expect(await refusal(guess("2001:db8:1:3::1", "z"))).toBeUndefined();
    const { consumeAddress: ask } = createLimits({ rateLimit: 1, authLimit: 0 });
    await ask("2001:db8:1:2::1");
    expect(await refusal(ask("2001:db8:1:2:ffff::9"))).toMatchObject({ status: 429, reason: "rate" });
    expect(await refusal(ask("2001:db8:1:3::1"))).toBeUndefined();
  });

  test("is heard all the same where any number of them may come", async () => {
    const { checkAttempt: guess, recordFailure: wrong } = createLimits({ rateLimit: 0, authLimit: 0 });
    for (let n = 0; n < 200; n++) await wrong("1.2.3.4", "x");
    expect(await refusal(guess("1.2.3.4", "x"))).toBeUndefined();
  });

  test("gains little from others all over the world, who make nothing grow without end", async () => {
    const { checkAttempt: guess, recordFailure: wrong } = createLimits({ rateLimit: 0, authLimit: 2 });
    let refused = 0;
    for (let n = 0; n < 1_000; n++) {
      const address = `10.0.${n >> 8}.${n & 255}`;
      if (await refusal(guess(address, "x"))) refused++;
      else await wrong(address, "x");
    }
    expect(refused).toBe(800);
    expect((await refusal(guess("1.2.3.4", "x")))?.message).toMatch(/from all addresses together$/);
  });

  test("keeps no other out by asking all at once, before the first answer", async () => {
    const { checkAttempt: guess, recordFailure: wrong } = createLimits({ rateLimit: 0, authLimit: 2 });
    const burst = Array.from({ length: 1_000 }, (_, n) => `x${n}`);
    await Promise.all(burst.map((token) => guess("1.2.3.4", token)));
    await Promise.all(burst.map((token) => wrong("1.2.3.4", token)));
    expect((await refusal(guess("1.2.3.4", "z")))?.message).toMatch(/from this address$/);
    expect(await refusal(guess("1.2.3.5", "z"))).toBeUndefined();
  });
});

test("the newest thousand are remembered, each once", () => {
  const known = new Set<string>();
  for (const n of [0, 0, ...Array(1_000).keys(), 0, 1_000]) remember(known, String(n));
  expect([known.size, known.has("0"), known.has("1"), known.has("1000")]).toEqual([1_000, false, true, true]);
});

test.each([
  ["1.2.3.4", "1.2.3.4"],
  ["::ffff:1.2.3.4", "1.2.3.4"],
  ["::1", "0:0:0:0"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
])("the network of %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
