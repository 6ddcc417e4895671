import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createClaimLoop } from "../../desk/src/review/claims.ts";
import { createUndoable } from "../../desk/src/review/done.ts";
import type { Act } from "../../desk/src/review/outbox.ts";
import { createReviewStore } from "../../desk/src/review/store.ts";
import type { Kind, Queue } from "../../desk/src/types.ts";
import { leftOut } from "../../desk/src/ui/left-out.ts";

const photo = (id: string) => {
  const kind = id.startsWith("audit") ? "audit" : "human";
  return { id, key: `${id}.jpg`, state: "review", asOf: "1", kind };
};
const running: (() => void)[] = [];
const browser = { page: new EventTarget(), window: new EventTarget() };

beforeEach(() => {
  vi.stubGlobal("document", Object.assign(browser.page, { visibilityState: "visible" }));
  for (const name of ["addEventListener", "removeEventListener"] as const)
    vi.stubGlobal(name, browser.window[name].bind(browser.window));
});
afterEach(() => {
  for (const stop of running.splice(0)) stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const ALONE: Queue = { kinds: { human: 9 }, held: 9, moderators: 1 };

/** Everything that goes on without an answer has gone on. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A page whose server is the test: what it asks waits until it is answered. */
function open({ before, counts = ALONE }: { before?: string; counts?: Queue } = {}) {
  const asked: {
    what: string;
    limit: number;
    answer(photos: string[]): Promise<void>;
    fail(): Promise<void>;
  }[] = [];
  const queue = signal<Queue | undefined>(counts);
  const waiting = signal<readonly Act[]>([]);
  const add = (...acts: Act[]): void => {
    waiting.value = [...waiting.value, ...acts];
  };
  const soon = (_ms: number, wake: () => void): (() => void) => {
    wake();
    return () => {};
  };
  const store = createReviewStore({ add }, soon, createUndoable(), {
    unseen: () => undefined,
    refuses: () => "",
  });
  const claims = createClaimLoop({
    store,
    outbox: { waiting },
    page: "p",
    before,
    queue,
    look: async () => counts,
    leaseS: 120,
    ask: <T>(path: string, body: unknown) =>
      new Promise<T>((resolve, fail) => {
        const { kinds = [], photos = [], before: of = [] } = body as Record<string, string[] | undefined>;
        const what = [path.split("/").at(-1), ...kinds, ...photos].concat(of).join(" ");
        const isClaim = path === "review/claims";
        asked.push({
          what,
          limit: (body as { limit: number }).limit,
          fail() {
            fail(new Error("away"));
            return settled();
          },
          answer(ids) {
            resolve({ photos: isClaim ? ids.map(photo) : ids } as T);
            return settled();
          },
        });
      }),
  });
  const heard = () => asked.map(({ what }) => what);
  const start = (): Promise<void> => {
    running.push(claims.run());
    return settled();
  };
  const held = () => store.items.value.map((item) => item.photo.id);
  return { store, waiting, queue, claims, asked, heard, start, held };
}

describe("what a page gives back", () => {
  test("is given back before anything is claimed anew, where it came too late for what was chosen", async () => {
    const { claims, asked, heard, held, start } = open();
    await start();
    void claims.only("verify");
    await asked[0]!.answer(["a"]);
    expect(heard()).toEqual(["claims", "release a"]);
    await asked[1]!.answer([]);
    expect(heard()).toEqual(["claims", "release a", "claims verify"]);
    await asked[2]!.answer(["b"]);
    expect(held()).toEqual(["b"]);
  });

  test("is given back before whoever comes back to the page claims anew", async () => {
    const { asked, heard, start } = open();
    await start();
    await asked[0]!.answer(["a"]);
    running.pop()!();
    await start();
    expect(heard()).toEqual(["claims", "release a"]);
    await asked[1]!.answer([]);
    expect(heard()).toEqual(["claims", "release a", "claims"]);
  });

  test("is claimed anew by whoever uses the page while it is still on its way, and nobody is away", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { claims, asked, heard, start } = open();
    await start();
    await asked[0]!.answer(["a"]);
    vi.setSystemTime(Date.now() + 601_000);
    browser.page.dispatchEvent(new Event("visibilitychange"));
    await settled();
    expect([heard().at(-1), claims.state.value]).toEqual(["release a", "away"]);
    browser.window.dispatchEvent(new Event("keydown"));
    await asked[1]!.answer([]);
    expect([heard().at(-1), claims.state.value]).toEqual(["claims", "loading"]);
  });
});

test("what the page before it held is asked for until it is had, and then never again: that name may live on in another tab", async () => {
  const { claims, asked, heard, start } = open({ before: "old" });
  await start();
  await asked[0]!.fail();
  void claims.fill(true);
  await settled();
  await asked[1]!.answer(["a"]);
  void claims.fill(true);
  await settled();
  expect(heard()).toEqual(["claims old", "claims old", "claims"]);
});

describe("what a page holds", () => {
  const two = (human: number, audit = 0): Queue => ({ kinds: { human, audit }, held: 0, moderators: 2 });

  test.for<[string, Queue, number, Kind?]>([
    ["sixty where no other moderator is there", ALONE, 60],
    ["sixty where an API of before does not say who is there", { kinds: { human: 9 }, held: 9 } as Queue, 60],
    ["sixty of a long list", two(500), 60],
    ["as many as come to each of a short one", two(11), 6],
    ["as many as come to each beside any number of audits", two(12, 300), 6],
    ["as many audits as come to each where nothing else waits", two(0, 31), 16],
    ["full of audits where one page may have all that is urgent", two(4, 300), 60],
    ["as many audits as come to each where they are chosen", two(12, 31), 16, "audit"],
    ["enough for the keys of what is nearly empty", two(3), 4],
  ])("is %s", async ([, counts, limit, kind]) => {
    const { claims, queue, asked, start } = open({ counts });
    claims.kind.value = kind;
    // also where it asks before it has heard what waits
    queue.value = undefined;
    await start();
    expect(asked.map((each) => each.limit)).toEqual([limit]);
  });

  test("is filled up before the next key finds nothing, and is all there is where less came", async () => {
    const { claims, store, asked, heard, start } = open({ counts: two(8) });
    await start();
    await asked[0]!.answer([..."abcd"]);
    expect(claims.exhausted.value).toBe(false);
    store.decide("hidden", true);
    await claims.fill();
    expect(heard()).toEqual(["claims"]);
    store.decide("hidden", true);
    void claims.fill();
    await settled();
    expect(heard()).toEqual(["claims", "claims"]);
    await asked[1]!.answer([..."cde"]);
    expect(claims.exhausted.value).toBe(true);
  });

  test("goes beyond its share to another who comes, from the end, but for what somebody has begun with", async () => {
    const { store, queue, asked, heard, held, start } = open();
    await start();
    await asked[0]!.answer([..."abcdefghi"]);
    store.go(7);
    store.setCategory("menu");
    store.toggle(8);
    store.go(6);
    queue.value = two(9);
    await settled();
    expect([heard(), held().join("")]).toEqual([["claims", "release c d e f"], "abghi"]);
    expect(store.current.value!.photo.id).toBe("g");
    expect(store.slipped.value).toBe(false);
    expect(leftOut.value).toBe("Free for others: 4 photos from the end of your list");
  });

  test.for([
    [60, 20, 4, 5],
    [180, 60, 4, 15],
    [300, 34, 10, 4],
  ])(
    "is shared out, %i in hands of %i, to the newcomer among %i too",
    async ([human, held, moderators, goes]) => {
      const { queue, asked, heard, start } = open();
      await start();
      await asked[0]!.answer(Array.from({ length: held! }, (_, n) => `${n}`));
      queue.value = { kinds: { human: human! }, held: 0, moderators: moderators! };
      await settled();
      expect(heard().at(-1)!.split(" ")).toEqual([
        "release",
        ...Array.from({ length: goes! }, (_, n) => `${held! - goes! + n}`),
      ]);
    },
  );

  test("keeps its audits while what is urgent comes and goes, and has what is urgent on top of them", async () => {
    const { claims, store, queue, asked, heard, start } = open({ counts: two(0, 300) });
    await start();
    const audits = Array.from({ length: 60 }, (_, n) => `audit${n}`);
    await asked[0]!.answer(audits);
    for (const human of [1, 0, 100, 5]) {
      queue.value = two(human, 300);
      await settled();
    }
    for (let n = 0; n < 29; n++) store.decide("hidden", true);
    await claims.fill();
    expect(heard()).toEqual(["claims"]);
    store.decide("hidden", true);
    void claims.fill();
    await settled();
    expect(asked.map(({ what, limit }) => [what, limit])).toEqual([
      ["claims", 60],
      ["claims", 34],
    ]);
    await asked[1]!.answer([...audits.slice(30), ..."abcd"]);
    for (let n = 0; n < 10; n++) store.decide("hidden", true);
    await claims.fill();
    expect(heard()).toHaveLength(2);
  });

  test.for<[string, number, Kind?]>([
    ["there are only audits", 0],
    ["audits are chosen", 12, "audit"],
  ])("goes to another who comes where %s", async ([, human, kind]) => {
    const { claims, queue, asked, heard, start } = open();
    claims.kind.value = kind;
    await start();
    await asked[0]!.answer([..."abcdefghi"].map((id) => `audit-${id}`));
    queue.value = two(human, 9);
    await settled();
    expect(heard()[1]).toBe("release audit-f audit-g audit-h audit-i");
  });

  test("stays where it is little more than its share, and where it is not the server's yet to give", async () => {
    const { store, queue, waiting, asked, heard, start } = open();
    await start();
    await asked[0]!.answer([..."abcdefgh"]);
    queue.value = two(11);
    await settled();
    expect(heard()).toEqual(["claims"]);
    for (const _ of "abcdefgh") store.decide("hidden", true);
    for (const _ of "abcdefgh") store.undo();
    expect(waiting.value).toHaveLength(16);
    queue.value = two(8);
    await settled();
    expect(heard()).toEqual(["claims"]);
  });
});

test("what the server says while a claim is on its way is heard once that is answered", async () => {
  const { queue, asked, heard, held, start } = open();
  await start();
  queue.value = { ...ALONE, held: 1 };
  queue.value = { ...ALONE, held: 2 };
  await settled();
  expect(heard()).toEqual(["claims"]);
  await asked[0]!.answer(["a"]);
  expect(heard()).toEqual(["claims", "claims"]);
  await asked[1]!.answer(["a", "b"]);
  expect([heard().length, held()]).toEqual([2, ["a", "b"]]);
});

test("what a renewal said of photos that were given back since takes none that were claimed again", async () => {
  const { claims, asked, heard, held, start } = open();
  await start();
  await asked[0]!.answer(["a"]);
  browser.page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  void claims.only("verify");
  await asked[2]!.answer([]);
  expect(heard()).toEqual(["claims", "renew a", "release a", "claims verify"]);
  await asked[3]!.answer(["a"]);
  expect(claims.problem.value).toBe("");
  await asked[1]!.answer([]);
  expect(held()).toEqual(["a"]);
});

test("a renewal that is slow takes off the page nothing that went beyond its share since, and was claimed again", async () => {
  const { claims, store, queue, asked, heard, held, start } = open();
  await start();
  await asked[0]!.answer([..."abcdefghi"]);
  browser.page.dispatchEvent(new Event("visibilitychange"));
  queue.value = { ...ALONE, moderators: 2 };
  await settled();
  for (const _ of "abc") store.decide("hidden", true);
  void claims.fill(true);
  await asked[2]!.answer([]);
  expect(heard()).toEqual(["claims", "renew a b c d e f g h i", "release f g h i", "claims"]);
  await asked[3]!.answer([..."defg"]);
  await asked[1]!.answer([..."de"]);
  expect([held().join(""), claims.problem.value]).toEqual(["abcdefg", ""]);
});

test("what was taken back stays, though the server holds it for nobody until it has the undo", async () => {
  const { store, waiting, claims, asked, heard, held, start } = open();
  await start();
  await asked[0]!.answer(["a", "b"]);
  store.decide("shown", false);
  store.undo();
  browser.page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  await asked[1]!.answer(["b"]);
  await asked[2]!.answer(["b"]);
  expect([heard(), held()]).toEqual([
    ["claims", "renew b", "claims"],
    ["a", "b"],
  ]);
  waiting.value = [];
  browser.page.dispatchEvent(new Event("visibilitychange"));
  await settled();
  await asked[3]!.answer(["b"]);
  expect([heard().at(3), held(), claims.problem.value]).toEqual(["renew a b", ["b"], ""]);
});
