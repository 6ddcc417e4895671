import { expect, test } from "vitest";
import { each } from "../../src/each.ts";

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
};

test("works on so many at once, begun in order, and on all of them", async () => {
  for (const items of [
    [5, 1, 3, 0, 2],
    (async function* () {
      yield* [5, 1, 3, 0, 2];
    })(),
  ]) {
    const begun: number[] = [];
    let [inHand, most, done] = [0, 0, 0];
    await each(items, 2, async (item) => {
      begun.push(item);
      most = Math.max(most, ++inHand);
      await turns(10 * item);
      inHand--;
      done++;
    });
    expect({ begun, most, done }).toEqual({ begun: [5, 1, 3, 0, 2], most: 2, done: 5 });
  }
});

test("begins nothing after a failure, and throws the first once what is in hand has ended", async () => {
  const [begun, ended]: [number[], number[]] = [[], []];
  let closed = false;
  const items = (function* () {
    try {
      yield* [1, 2, 3, 4];
    } finally {
      closed = true;
    }
  })();
  const working = each(items, 2, async (item) => {
    begun.push(item);
    await turns(10 * item);
    if (item === 1) throw new Error("first");
    ended.push(item);
  });
  await expect(working).rejects.toThrow("first");
  expect({ begun, ended, closed }).toEqual({ begun: [1, 2], ended: [2], closed: true });
});

test("throws what the items themselves throw, and has nothing to do with none", async () => {
  const broken = (async function* () {
    yield 1;
    throw new Error("no more");
  })();
  await expect(each(broken, 2, async () => {})).rejects.toThrow("no more");
  await each([], 3, () => Promise.reject(new Error("never")));
});
