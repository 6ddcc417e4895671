import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { runEvery } from "../../src/run-every.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ignore = (): void => {};

test("begins nothing while the work at hand is slow, and does not catch up on what it left out", async () => {
  const ends: (() => void)[] = [];
  const { close } = runEvery(() => new Promise<void>((resolve) => ends.push(resolve)), 1_000, ignore);
  expect(ends).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_500);
  expect(ends).toHaveLength(1);
  ends[0]!();
  await vi.advanceTimersByTimeAsync(400);
  expect(ends).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(100);
  expect(ends).toHaveLength(2);
  ends[1]!();
  await close();
});

test("says what the work throws, and works again when it is due", async () => {
  const failed: string[] = [];
  const { close } = runEvery(
    async () => {
      throw new Error("away");
    },
    1_000,
    ({ message }) => failed.push(message),
  );
  await vi.advanceTimersByTimeAsync(1_000);
  expect(failed).toEqual(["away", "away"]);
  await close();
});

test("ends after the work at hand, and begins nothing more", async () => {
  const did: string[] = [];
  let end = (): void => {};
  const { close } = runEvery(
    async () => {
      did.push("begun");
      await new Promise<void>((resolve) => {
        end = resolve;
      });
      did.push("ended");
    },
    1_000,
    ignore,
  );
  const closing = close().then(() => did.push("closed"));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(did).toEqual(["begun"]);
  end();
  await closing;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(did).toEqual(["begun", "ended", "closed"]);
});
