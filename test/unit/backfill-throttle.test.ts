import { expect, test } from "vitest";
import { createBackfillThrottle } from "../../src/moderate/backfill-throttle.ts";
import type { Lane } from "../../src/photo.ts";

/** A throttle of four cores, whose clock stands until it is told. */
function furnished() {
  const clock = { ms: 0 };
  const throttle = createBackfillThrottle(4, 1_000, () => clock.ms);
  const inside = new Map<string, () => void>();
  let all: Promise<void>[] = [];
  return {
    clock,
    inside: () => [...inside.keys()].sort().join(""),
    enter(lane: Lane, ...names: string[]) {
      all = all.concat(
        names.map((name) => throttle(lane, () => new Promise((leave) => void inside.set(name, leave)))),
      );
    },
    async leave(...names: string[]) {
      for (const name of names) {
        inside.get(name)!();
        inside.delete(name);
      }
      // whoever goes in next does so once the one before has ended
      await new Promise(setImmediate);
    },
    ended: () => Promise.all(all),
  };
}

test("lets all of a backfill in while no upload comes", () => {
  const { enter, inside } = furnished();
  enter("backfill", ..."abcdef");
  expect(inside()).toBe("abcdef");
});

test("lets an upload in at once, whatever is inside", () => {
  const { enter, inside } = furnished();
  enter("backfill", ..."abcdef");
  enter("live", "1", "2", "3");
  expect(inside()).toBe("123abcdef");
});

test("takes a core from the backfill for each upload that is inside, and one that is left free", async () => {
  const { enter, leave, inside } = furnished();
  enter("live", "1", "2", "3");
  enter("backfill", ..."abcdef");
  expect(inside()).toBe("123");
  await leave("1");
  expect(inside()).toBe("23a");
  await leave("2");
  expect(inside()).toBe("3ab");
  await leave("a");
  expect(inside()).toBe("3bc");
});

test("keeps a core free between uploads, and lets in all again when none has come for a while", async () => {
  const { clock, enter, leave, inside } = furnished();
  enter("live", "1");
  enter("backfill", ..."abcdefgh");
  await leave("1");
  expect(inside()).toBe("abc");
  clock.ms = 999;
  await leave("a");
  expect(inside()).toBe("bcd");
  clock.ms = 1_000;
  await leave("b");
  expect(inside()).toBe("cdefgh");
});

test("makes room again when the work fails, and answers with what it gave", async () => {
  const throttle = createBackfillThrottle(1, 1_000, () => 0);
  await throttle("live", async () => {});
  const first = throttle("backfill", () => Promise.reject(new Error("no")));
  const others = [throttle("backfill", async () => "b"), throttle("backfill", async () => "c")];
  await expect(first).rejects.toThrow("no");
  await expect(Promise.all(others)).resolves.toEqual(["b", "c"]);
});
