import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Refused, Unreachable } from "../../desk/src/api.ts";
import {
  type Act,
  type Answer,
  createOutbox,
  type KeptStrings,
  whoseWait,
} from "../../desk/src/review/outbox.ts";

const act = (id: string): Act => ({
  does: "decide",
  id,
  key: `${id}.jpg`,
  decision: { id, photo: id, verdict: "shown", category: null, human: false, note: null, asOf: null },
});
const undo = (id: string): Act => ({ does: "undo", id: `u${id}`, decision: id, photo: id, key: `${id}.jpg` });
const done: Answer = { outcome: "done" };
const ids = (acts: readonly Act[]): string[] => acts.map(({ id }) => id);

/** An outbox whose neighbours are the test's own: deliveries wait until they are answered, and time until it is passed. */
function open(storage: KeptStrings = memory(), owner = "ann") {
  const deliveries: { acts: string[]; answer(answers: Answer[]): void; fail(error: Error): void }[] = [];
  const waits: { ms: number; wake(): void }[] = [];
  const answered: [string, string][] = [];
  const outbox = createOutbox({
    storage,
    owner,
    deliver: (acts) =>
      new Promise((answer, fail) => {
        deliveries.push({ acts: ids(acts), answer, fail });
      }),
    answered: ({ id }, { outcome }) => answered.push([id, outcome]),
    later(ms, wake) {
      waits.push({ ms, wake });
      return () => {};
    },
  });
  return { outbox, deliveries, waits, answered, storage };
}

describe("the outbox", () => {
  test("keeps an act before it is sent, and forgets it once it is answered", async () => {
    const { outbox, deliveries, storage, answered } = open();
    outbox.add(act("a"), act("b"));
    expect(storage.length).toBe(2);
    expect(deliveries.map(({ acts }) => acts)).toEqual([["a", "b"]]);
    deliveries[0]!.answer([done, { outcome: "known" }]);
    await expect
      .poll(() => answered)
      .toEqual([
        ["a", "done"],
        ["b", "known"],
      ]);
    expect(storage.length).toBe(0);
    expect(outbox.waiting.value).toEqual([]);
  });

  test("goes on after a reload, in the same order, and for nobody else", async () => {
    const first = open();
    first.outbox.add(act("a"));
    first.outbox.add(undo("a"));
    first.outbox.add(act("b"));
    first.outbox.close();
    expect(open(first.storage, "bob").outbox.waiting.value).toEqual([]);
    const { outbox, deliveries } = open(first.storage);
    outbox.wake();
    deliveries[0]!.answer([done]);
    await expect.poll(() => deliveries.length).toBe(2);
    deliveries[1]!.answer([done]);
    await expect.poll(() => deliveries.map(({ acts }) => acts)).toEqual([["a"], ["ua"], ["b"]]);
  });

  test("keeps the order of its acts also where the clock is set back", () => {
    vi.useFakeTimers({ toFake: ["Date"], now: 2_000 });
    onTestFinished(() => void vi.useRealTimers());
    const { outbox, storage } = open();
    outbox.add(act("a"));
    vi.setSystemTime(1_000);
    outbox.add(undo("a"));
    open(storage).outbox.add(act("b"));
    expect(ids(open(storage).outbox.waiting.value)).toEqual(["a", "ua", "b"]);
  });

  test("is nobody's whose name begins alike, and says whose acts wait", () => {
    const { outbox, storage, deliveries } = open(memory(), "ann.lee/2");
    outbox.add(act("a"), act("b"));
    expect(deliveries).toHaveLength(1);
    for (const other of ["ann", "ann.lee", "ann.lee/2/"])
      expect(open(storage, other).outbox.waiting.value).toEqual([]);
    open(storage, "bob").outbox.add(act("c"));
    expect(whoseWait(storage)).toEqual([
      { owner: "ann.lee/2", acts: 2 },
      { owner: "bob", acts: 1 },
    ]);
  });

  test("tries again, later and later, where no answer came, and says why", async () => {
    const { outbox, deliveries, waits } = open();
    outbox.add(act("a"));
    for (const [index, error] of [
      new Unreachable("away"),
      new Refused(503, "away"),
      new Refused(429, "busy", 7_000),
      // not of the act, but of whoever is signed in: they may have the role again
      new Refused(403, "ann is no moderator"),
    ].entries()) {
      deliveries[index]!.fail(error);
      await expect.poll(() => waits.length).toBe(index + 1);
      expect(outbox.trouble.value).toBe(error.message);
      waits[index]!.wake();
    }
    expect(waits.map(({ ms }) => ms)).toEqual([1_000, 2_000, 7_000, 8_000]);
    deliveries[4]!.answer([done]);
    await expect.poll(() => outbox.trouble.value).toBe("");
  });

  test("keeps what does not count until a person has seen it, also over a reload", async () => {
    const { outbox, deliveries, storage } = open();
    outbox.add(act("a"), act("b"));
    deliveries[0]!.answer([{ outcome: "changed", by: "moderator:bob" }, done]);
    await expect.poll(() => outbox.failed.value.length).toBe(1);
    const again = open(storage).outbox;
    expect(again.waiting.value).toEqual([]);
    expect(again.failed.value).toEqual([
      { act: act("a"), answer: { outcome: "changed", by: "moderator:bob" } },
    ]);
    again.dismiss("a");
    expect(storage.length).toBe(0);
  });

  test("of acts that are refused together, only the one at fault is refused", async () => {
    const { outbox, deliveries } = open();
    outbox.add(act("a"), act("b"));
    deliveries[0]!.fail(new Refused(400, "a is not as it should be"));
    await expect.poll(() => deliveries.length).toBe(2);
    deliveries[1]!.fail(new Refused(400, "a is not as it should be"));
    await expect.poll(() => deliveries.length).toBe(3);
    deliveries[2]!.answer([done]);
    await expect.poll(() => outbox.waiting.value).toEqual([]);
    expect(deliveries.map(({ acts }) => acts)).toEqual([["a", "b"], ["a"], ["b"]]);
    expect(outbox.failed.value.map(({ act: { id }, answer }) => [id, answer.words])).toEqual([
      ["a", "a is not as it should be"],
    ]);
  });

  test("says so where the browser keeps nothing, and delivers all the same", async () => {
    const full: KeptStrings = {
      ...memory(),
      setItem() {
        throw new Error("full");
      },
    };
    const { outbox, deliveries } = open(full);
    outbox.add(act("a"));
    expect(outbox.durable.value).toBe(false);
    deliveries[0]!.answer([done]);
    await expect.poll(() => outbox.waiting.value).toEqual([]);
  });
});

function memory(): KeptStrings {
  const kept = new Map<string, string>();
  return {
    get length() {
      return kept.size;
    },
    key: (index) => [...kept.keys()][index] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}
