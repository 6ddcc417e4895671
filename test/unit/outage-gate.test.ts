import { expect, test } from "vitest";
import { UpstreamError } from "../../src/errors.ts";
import { createOutageGate } from "../../src/moderate/outage-gate.ts";

const away = new UpstreamError("DATABASE_UNAVAILABLE", "away");
const isAway = (error: Error): boolean => error === away;

test("work that comes while its neighbour is away begins once that answers, which is asked once for all", async () => {
  const asked: string[] = [];
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const hold = createOutageGate(
    async () => {
      asked.push("ask");
      if (asked.length < 3) throw away;
      await answered;
    },
    isAway,
    1,
  );
  const begun: number[] = [];
  const work = (n: number) => hold.run(async () => void begun.push(n));
  await work(1);
  const failing = [1, 2].map(() => hold.run(() => Promise.reject(away)));
  for (const each of failing) await expect(each).rejects.toBe(away);
  const later = [work(2), work(3)];
  await expect.poll(() => asked.length).toBe(3);
  expect(begun).toEqual([1]);
  answer();
  await Promise.all(later);
  await work(4);
  expect([begun, asked.length]).toEqual([[1, 2, 3, 4], 3]);
});

test("work is held up each time that its neighbour is away", async () => {
  const asked: number[] = [];
  const hold = createOutageGate(async () => asked.push(asked.length), isAway, 1);
  for (const times of [1, 2]) {
    await expect(hold.run(() => Promise.reject(away))).rejects.toBe(away);
    await hold.run(async () => {});
    expect(asked).toHaveLength(times);
  }
});

test("what fails by itself holds up nothing", async () => {
  const hold = createOutageGate(() => Promise.reject(away), isAway, 1);
  await expect(hold.run(() => Promise.reject(new Error("a bug")))).rejects.toThrow("a bug");
  await expect(hold.run(async () => "begun")).resolves.toBe("begun");
});

test("what is held up as the process ends is let go at once, though the neighbour answers nothing", async () => {
  const hold = createOutageGate(() => new Promise(() => {}), isAway, 1);
  await expect(hold.run(() => Promise.reject(away))).rejects.toBe(away);
  const waiting = hold.run(async () => {});
  await hold.close();
  await expect(waiting).rejects.toMatchObject({ code: "CLOSED" });
});

test("ending where nobody waits fails nowhere", async () => {
  const gates = [1, 2].map(() => createOutageGate(() => Promise.reject(away), isAway, 1));
  await expect(gates[0]!.run(() => Promise.reject(away))).rejects.toBe(away);
  const failures: unknown[] = [];
  const note = (reason: unknown): void => void failures.push(reason);
  process.on("unhandledRejection", note);
  for (const gate of gates) await gate.close();
  await new Promise(setImmediate);
  process.off("unhandledRejection", note);
  expect(failures).toEqual([]);
});
