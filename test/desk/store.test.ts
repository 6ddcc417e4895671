import { describe, expect, test } from "vitest";
import type { Item, Items } from "../../desk/src/review/list.ts";
import type { Act } from "../../desk/src/review/outbox.ts";
import { createReviewStore } from "../../desk/src/review/store.ts";
import type { Photo } from "../../desk/src/types.ts";

const item = (id: string): Item => ({
  photo: { id, key: `${id}.jpg`, state: "review", asOf: "1" } as Photo,
  category: null,
  decision: undefined,
  answer: undefined,
});

/** A store with these photos in its list, whose acts and whose time are the test's own. */
function open(ids: string) {
  const clock = { now: 10_000 };
  const acts: Act[] = [];
  const store = createReviewStore({ add: (...more) => acts.push(...more) }, () => clock.now);
  store.take([...ids].map(item));
  const without = (gone: string): Items => store.items.value.filter(({ photo }) => !gone.includes(photo.id));
  const decided = (): string =>
    acts.flatMap((act) => (act.does === "decide" ? act.decision.photo : [])).join("");
  return { store, acts, clock, without, decided };
}

describe("what a moderator decides", () => {
  test("is never another photo than the one that was in hand a moment ago", () => {
    const { store, clock, without, decided } = open("abc");
    store.take(without("a"));
    expect(store.current.value!.photo.id).toBe("b");
    store.setCategory("menu");
    store.decide("shown", false);
    expect(decided()).toBe("");
    clock.now += 1_000;
    store.decide("shown", false);
    expect(decided()).toBe("b");
    expect(store.items.value[0]!.decision).toMatchObject({ category: null });
  });

  test("is what was selected, and never the photo in hand instead of what another took meanwhile", () => {
    const { store, clock, without, decided } = open("abcd");
    store.go(2);
    for (const index of [0, 1]) store.toggle(index);
    store.go(2);
    store.take(without("a"));
    store.decide("hidden", true);
    store.take(without("b"));
    store.decide("hidden", true);
    expect([decided(), store.selected.value.size]).toEqual(["", 0]);
    // whoever moves has looked
    store.move(1);
    store.decide("hidden", true);
    expect(decided()).toBe("d");
    clock.now += 1;
  });

  test("is done at once where the list only grew, or lost what was not aimed at", () => {
    const { store, without, decided } = open("abc");
    store.take([...without("c"), item("d")]);
    store.decide("shown", false);
    expect(decided()).toBe("a");
  });
});

describe("what a moderator takes back", () => {
  test("is the last that counts, and the pace forgets no other", () => {
    const { store, acts } = open("ab");
    store.decide("shown", false);
    store.decide("hidden", true);
    store.answered(acts[1]!, { outcome: "taken", by: "bob" });
    store.undo();
    expect(acts.at(-1)).toMatchObject({ does: "undo", photo: "a" });
    expect(store.times.value).toHaveLength(1);
  });
});
