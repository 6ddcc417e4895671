import { describe, expect, test } from "vitest";
import { createEyes, type Eyes } from "../../desk/src/eyes.ts";
import { createUndoable } from "../../desk/src/review/done.ts";
import { type Item, type Items, isLeft, stateOf } from "../../desk/src/review/list.ts";
import type { Act } from "../../desk/src/review/outbox.ts";
import { createReviewStore } from "../../desk/src/review/store.ts";
import type { Photo } from "../../desk/src/types.ts";
import { Announcer } from "../../desk/src/ui/announce.tsx";
import { leftOut } from "../../desk/src/ui/left-out.ts";

const item = (id: string): Item => ({
  photo: { id, key: `${id}.jpg`, state: "review", asOf: "1" } as Photo,
  category: null,
  decision: undefined,
  answer: undefined,
});

/** What was said last to those who listen to the page. */
const said = (): string => String(Announcer().props.children).trim();

/** Of somebody who has seen every photo. */
const SEEN: Pick<Eyes, "unseen" | "refuses"> = { unseen: () => undefined, refuses: () => "" };

/** A store with these photos in its list, whose acts and whose time are the test's own. */
function open(ids: string, eyes = SEEN) {
  const acts: Act[] = [];
  let wake = (): void => {};
  const later = (_ms: number, then: () => void): (() => void) => {
    wake = then;
    return () => {
      wake = () => {};
    };
  };
  const store = createReviewStore({ add: (...more) => acts.push(...more) }, later, createUndoable(), eyes);
  store.take([...ids].map(item));
  wake();
  const without = (gone: string): Items => store.items.value.filter(({ photo }) => !gone.includes(photo.id));
  const decided = (): string =>
    acts.flatMap((act) => (act.does === "decide" ? act.decision.photo : [])).join("");
  return { store, acts, look: () => wake(), without, decided };
}

describe("what a moderator decides", () => {
  test("is never another photo than the one that was in hand a moment ago", () => {
    const { store, look, without, decided } = open("abc");
    store.take(without("a"));
    expect(store.current.value!.photo.id).toBe("b");
    store.setCategory("menu");
    store.decide("shown", false);
    expect(decided()).toBe("");
    look();
    store.decide("shown", false);
    expect(decided()).toBe("b");
    expect(store.items.value[0]!.decision).toMatchObject({ category: null });
  });

  test("is never other bytes of the photo in hand than were looked at", () => {
    const { store, look, decided } = open("ab");
    const [first, ...rest] = store.items.value;
    store.take([{ ...first!, photo: { ...first!.photo, asOf: "2" } }, ...rest]);
    store.decide("shown", false);
    expect([decided(), store.slipped.value]).toEqual(["", true]);
    look();
    store.decide("shown", false);
    expect(decided()).toBe("a");
  });

  test("is what was selected, and never the photo in hand instead of what another took meanwhile", () => {
    const { store, look, without, decided } = open("abcd");
    store.go(2);
    for (const index of [0, 1]) store.toggle(index);
    store.go(2);
    store.take(without("a"));
    store.decide("hidden", true);
    store.take(without("b"));
    store.decide("hidden", true);
    expect([decided(), store.selected.value.size]).toEqual(["", 0]);
    look();
    store.decide("hidden", true);
    expect(decided()).toBe("c");
  });

  test("is not what a hand comes to that goes on as it had begun", () => {
    const { store, look, without, decided } = open("abcd");
    store.take(without("a"));
    store.toggle(0);
    store.select("bc");
    store.move(1, true);
    expect([store.selected.value.size, store.at.value]).toEqual([0, 0]);
    for (const next of [
      () => store.move(1),
      () => store.go(0),
      () => store.select("bc"),
      () => store.select([]),
    ]) {
      next();
      store.decide("shown", false);
    }
    expect([decided(), store.slipped.value]).toEqual(["", true]);
    look();
    store.toggle(0);
    store.decide("shown", false);
    expect([decided(), store.slipped.value]).toEqual(["b", false]);
  });

  test("is nothing that came just when all was decided, or while nothing was there", () => {
    const { store, look, decided } = open("a");
    store.decide("hidden", true);
    store.take([...store.items.value, item("b")]);
    expect(store.current.value!.photo.id).toBe("b");
    store.decide("hidden", true);
    expect(decided()).toBe("a");
    look();
    store.decide("hidden", true);
    store.take([]);
    store.take([item("c")]);
    store.decide("hidden", true);
    expect(decided()).toBe("ab");
  });

  test("is not what was skipped, by one key too many at the end of the list", () => {
    const { store, look, decided } = open("abc");
    store.go(1);
    for (let n = 0; n < 3; n++) store.decide("hidden", true);
    expect([decided(), store.current.value!.photo.id]).toEqual(["bc", "a"]);
    look();
    store.decide("shown", false);
    expect(decided()).toBe("bca");
  });

  test("is said together with another photo that came into hand, and so is that alone", () => {
    const { store, without } = open("abc");
    const look = "A photo just came into hand: look at it first";
    store.go(2);
    store.decide("shown", false);
    expect(said()).toBe(`c.jpg shown. ${look}`);
    store.undo();
    expect(said()).toBe("1 decision taken back");
    store.take(without("c"));
    expect(said()).toBe(look);
  });

  test("goes on with the first photo where that was in hand, and others were selected", () => {
    const { store, decided } = open("abcd");
    for (const index of [1, 2]) store.toggle(index);
    store.go(0);
    store.decide("shown", false);
    store.decide("hidden", true);
    expect(decided()).toBe("bca");
  });

  test("is not the appeal of a photo that is in hand as it was decided, before anybody saw it", () => {
    const { store, acts, look, decided } = open("ab");
    store.decide("shown", false);
    store.answered(acts[0]!, { outcome: "done" });
    store.move(-1);
    store.take([item("a"), item("b")]);
    store.decide("shown", false);
    expect(decided()).toBe("a");
    look();
    store.decide("shown", false);
    expect(decided()).toBe("aa");
  });

  test("may be decided the same again where it did not count, and only there", () => {
    const { store, acts, decided } = open("ab");
    store.decide("hidden", true);
    store.answered(acts[0]!, { outcome: "taken", by: "bob" });
    for (let n = 0; n < 2; n++) {
      store.go(0);
      store.decide("hidden", true);
    }
    expect(decided()).toBe("aa");
  });

  test("is not again what another decided meanwhile, but on purpose", () => {
    const { store, acts, decided } = open("abc");
    store.decide("shown", false);
    const changed = { outcome: "changed", by: "bob", state: "hidden", asOf: "7" } as const;
    store.answered(acts[0]!, changed);
    store.go(0);
    store.setCategory("menu");
    store.decide("shown", false);
    store.decide("hidden", true);
    expect([decided(), store.items.value[0]!.category]).toEqual(["a", null]);
    for (const index of [0, 1]) store.toggle(index);
    store.decide("hidden", true);
    expect(decided()).toBe("ab");
    // nobody has looked at it as it is now
    expect(store.insist(acts[0]!, changed)).toBe(false);
    expect(decided()).toBe("ab");
    const { asOf } = store.items.value[0]!.photo;
    expect(store.insist(acts[0]!, { ...changed, asOf })).toBe(true);
    expect(acts.at(-1)).toMatchObject({ decision: { photo: "a", verdict: "shown", asOf } });
    store.go(0);
    store.decide("hidden", true);
    expect(decided()).toBe("abaa");
  });

  test("is not the photo in hand where that was scrolled out of view, but what was selected", () => {
    const { store, look, decided } = open("abcd");
    store.sight.current = () => false;
    store.setCategory("menu");
    look();
    store.toggle(0);
    look();
    store.move(1, true);
    look();
    store.decide("shown", false);
    expect([decided(), store.slipped.value, store.selected.value.size]).toEqual(["", true, 0]);
    look();
    for (const index of [1, 2]) store.toggle(index);
    store.decide("shown", false);
    expect(decided()).toBe("bc");
    store.sight.current = () => true;
    store.decide("hidden", true);
    expect(store.items.value[3]!.decision).toMatchObject({ verdict: "hidden", category: null });
  });

  test("is of what was looked at, though the server has a newer verdict", () => {
    const { store, acts } = open("ab");
    store.decide("hidden", true);
    store.answered(acts[0]!, { outcome: "done", asOf: "7" });
    store.go(0);
    store.decide("shown", false);
    expect(acts[1]).toMatchObject({ decision: { photo: "a", asOf: "1" } });
  });

  test("is nothing that was replaced or removed meanwhile, until it comes anew", () => {
    const { store, acts, look, decided } = open("ab");
    store.decide("shown", false);
    store.answered(acts[0]!, { outcome: "withdrawn", state: "review", asOf: "7" });
    store.go(0);
    store.setCategory("menu");
    store.decide("shown", false);
    expect([decided(), stateOf(store.items.value[0]!)]).toEqual(["a", "withdrawn"]);
    const anew = item("a");
    store.take([{ ...anew, photo: { ...anew.photo, asOf: "7" } }, item("b")]);
    look();
    store.decide("shown", false);
    expect(acts[1]).toMatchObject({ decision: { photo: "a", category: null, asOf: "7" } });
  });

  test("is done at once where the list only grew, or lost what was not aimed at", () => {
    const { store, without, decided } = open("abc");
    store.take([...without("c"), item("d")]);
    store.decide("shown", false);
    expect(decided()).toBe("a");
  });
});

test("says how many are selected, to those who do not see them", () => {
  const { store } = open("abc");
  store.toggle(1);
  expect(said()).toBe("1 photo selected");
  store.toggle(1);
  expect(said()).toBe("None selected");
  store.select("abc");
  expect(said()).toBe("3 photos selected");
  store.select([]);
  expect(said()).toBe("None selected");
  store.move(-1, true);
  expect(said()).toBe("2 photos selected");
});

describe("a photo that is shown to everybody", () => {
  const hidden = (id: string): Item => ({
    ...item(id),
    photo: { ...item(id).photo, state: "hidden", rule: "human" } as Photo,
  });

  test("is one that its moderator has seen, alone at more than the size of a card, and of these bytes", () => {
    const eyes = createEyes(true);
    const { store, look, decided } = open("ab", eyes);
    const { photo } = item("a");
    for (const see of [
      () => {},
      () => eyes.see(photo, "card"),
      () => eyes.see({ ...photo, asOf: "2" }, "large"),
      () => eyes.see(item("b").photo, "large"),
    ]) {
      see();
      store.decide("shown", false);
      expect([decided(), said()]).toEqual(["", "You have not seen its picture yet: z enlarges it"]);
    }
    eyes.see(photo, "large");
    store.take([{ ...item("a"), photo: { ...photo, asOf: "3" } }, item("b")]);
    look();
    store.decide("shown", false);
    expect(decided()).toBe("");
    eyes.see({ ...photo, asOf: "3" }, "large");
    store.decide("shown", false);
    expect([decided(), said()]).toEqual(["a", "a.jpg shown"]);
  });

  test("was not blurred: the first press only has it seen, also where it was blurred anew", () => {
    const eyes = createEyes(true);
    const { store, look, decided } = open("", eyes);
    store.take([hidden("a"), hidden("b")]);
    look();
    eyes.see(hidden("a").photo, "large");
    store.decide("shown", false);
    expect([decided(), said(), eyes.veils(hidden("a").photo)]).toEqual([
      "",
      "It was blurred: look at it, then show it",
      false,
    ]);
    eyes.setBlur(true);
    store.decide("shown", false);
    expect(decided()).toBe("");
    store.decide("shown", false);
    expect(decided()).toBe("a");
  });

  test("is hidden at once, seen or not", () => {
    const { store, decided } = open("ab", createEyes(true));
    store.decide("hidden", true);
    store.decide("hidden", null);
    expect(decided()).toBe("ab");
  });

  test("is none that is blurred or unseen of those selected, which stay so, and come into hand with time to look", () => {
    const eyes = createEyes(true);
    const { store, look, decided } = open("abc", eyes);
    store.take([...store.items.value, hidden("d")]);
    for (const id of "ad") eyes.see(item(id).photo, "card");
    store.select("abcd");
    store.decide("shown", false);
    expect([decided(), [...store.selected.value].join(""), store.current.value!.photo.id]).toEqual([
      "a",
      "bcd",
      "b",
    ]);
    expect(said()).toMatch(/^a\.jpg shown\. Not shown, and still selected: 1 blurred, 2 not seen\. /);
    for (const id of "bc") eyes.see(item(id).photo, "card");
    eyes.reveal("d");
    eyes.see(hidden("d").photo, "large");
    store.decide("shown", false);
    expect(decided()).toBe("a");
    look();
    store.decide("shown", false);
    expect([decided(), store.selected.value.size]).toEqual(["abcd", 0]);
  });

  test.for([
    { kind: "appeal" },
    { kind: "hidden-copy" },
    { kind: "human" },
    { kind: "scores" },
    { kind: "audit", state: "hidden", rule: "hidden-category" },
  ] as const)("is none that was seen on a card alone where it may show people: $kind", (why) => {
    const eyes = createEyes(true);
    const { store, look, decided } = open("a", eyes);
    const asked = { ...item("b"), photo: { ...item("b").photo, ...why } };
    store.take([...store.items.value, asked]);
    for (const { photo } of store.items.value) eyes.see(photo, "card");
    store.select("ab");
    store.decide("shown", false);
    expect(decided()).toBe("a");
    expect(leftOut.value).toBe("Not shown, and still selected: 1 only seen small");
    eyes.see(asked.photo, "large");
    look();
    store.decide("shown", false);
    expect(decided()).toBe("ab");
  });

  test("brings the first of those selected into hand where none was seen", () => {
    const { store, look, decided } = open("abc", createEyes(true));
    for (const index of [1, 2]) store.toggle(index);
    store.go(0);
    for (let n = 0; n < 2; n++) {
      store.decide("shown", false);
      expect([decided(), store.current.value!.photo.id, store.selected.value.size]).toEqual(["", "b", 2]);
      look();
    }
    expect(store.slipped.value).toBe(false);
  });

  test("is seen anew after its decision was taken back, where that hid it for a human", () => {
    const eyes = createEyes(true);
    const { store, acts, decided } = open("ab", eyes);
    eyes.see(item("a").photo, "large");
    store.decide("hidden", true);
    store.go(0);
    store.decide("shown", false);
    expect([decided(), said()]).toEqual(["a", "It was blurred: look at it, then show it"]);
    store.undo();
    store.answered(acts[1]!, { outcome: "done", photo: { ...item("a").photo, asOf: "9" } });
    store.decide("shown", false);
    expect(decided()).toBe("a");
  });
});

describe("what a moderator takes back", () => {
  test("leaves nothing said of those that were selected beside it", () => {
    const eyes = createEyes(true);
    const { store } = open("ab", eyes);
    eyes.see(item("a").photo, "card");
    store.select("ab");
    store.decide("shown", false);
    expect(leftOut.value).toBe("Not shown, and still selected: 1 not seen");
    store.undo();
    expect([leftOut.value, store.selected.value.size]).toEqual(["", 0]);
  });

  test("is in hand at once, and not what was selected since", () => {
    const { store, acts, without } = open("abcd");
    store.decide("shown", false);
    for (const index of [1, 2]) store.toggle(index);
    store.take(without("c"));
    expect([store.selected.value.size, store.slipped.value]).toEqual([1, true]);
    store.undo();
    store.decide("hidden", true);
    expect(acts.map((act) => (act.does === "decide" ? act.decision.photo : `undo ${act.photo}`))).toEqual([
      "a",
      "undo a",
      "a",
    ]);
  });

  test("may be that somebody was not sure, which is of no photo decided before, gives no category and is not in the pace", () => {
    const { store, acts } = open("abc");
    store.decide("hidden", true);
    store.setCategory("menu");
    store.select("abc");
    store.decide("unsure", null);
    expect(leftOut.value).toBe("1 photo was decided before, and stays so");
    expect(said()).toBe("2 photos not sure. 1 photo was decided before, and stays so");
    expect(acts.slice(1)).toMatchObject([
      { decision: { photo: "b", verdict: "unsure", category: null } },
      { decision: { photo: "c", verdict: "unsure", category: null } },
    ]);
    expect(store.times.value).toHaveLength(1);
    store.undo();
    expect(acts.slice(3)).toMatchObject([
      { does: "undo", photo: "b" },
      { does: "undo", photo: "c" },
    ]);
    expect(store.times.value).toHaveLength(1);
    store.undo();
    expect(store.times.value).toHaveLength(0);
  });

  test("is not that somebody is not sure of what they decided or passed before, which is said", () => {
    const { store, acts } = open("ab");
    store.decide("hidden", true);
    store.go(0);
    store.decide("unsure", null);
    expect([acts.length, leftOut.value]).toEqual([1, "You decided it already: take that back first"]);
    store.go(1);
    store.decide("unsure", null);
    store.go(1);
    store.decide("unsure", null);
    expect([acts.length, said()]).toEqual([2, "You left it to another moderator already"]);
    // what does not count is no decision
    store.answered(acts[0]!, { outcome: "taken", by: "bob" });
    store.go(0);
    store.decide("unsure", null);
    expect(acts.slice(2)).toMatchObject([{ decision: { photo: "a", verdict: "unsure" } }]);
  });

  test("is left to others unless the server says that it does not count", () => {
    const { store, acts } = open("abcd");
    store.decide("hidden", true);
    for (const _ of "bcd") store.decide("unsure", null);
    store.answered(acts[1]!, { outcome: "done" });
    store.answered(acts[2]!, { outcome: "withdrawn", state: "review", asOf: "2" });
    expect(store.items.value.filter(isLeft).map(({ photo }) => photo.id)).toEqual(["b", "d"]);
  });

  test("may be once more that somebody is not sure, which is not in the pace", () => {
    const { store, acts } = open("ab");
    store.decide("unsure", null);
    store.decide("hidden", true);
    store.answered(acts[0]!, { outcome: "changed", by: "ann", asOf: "1" });
    expect(store.insist(acts[0]!, { outcome: "changed", by: "ann", asOf: "1" })).toBe(true);
    expect(acts.at(-1)).toMatchObject({ decision: { photo: "a", verdict: "unsure" } });
    store.undo();
    expect(acts.at(-1)).toMatchObject({ does: "undo", photo: "a" });
    expect(store.times.value).toHaveLength(1);
  });

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
