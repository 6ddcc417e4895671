import { describe, expect, test } from "vitest";
import {
  asDecided,
  bounded,
  type Item,
  nextOpen,
  withClaimed,
  withoutLost,
} from "../../desk/src/review/list.ts";
import { addressOf, asked, filtersOf } from "../../desk/src/search/query.ts";
import type { Photo } from "../../desk/src/types.ts";
import { cellsInView, isInView, layCells, scrollToCell } from "../../desk/src/ui/window.ts";
import { hiddenForHuman, reasonOf } from "../../desk/src/words.ts";

const rules = { minWidth: 168, gap: 12, textHeight: 72 };

describe("the grid", () => {
  test("has as many columns as fit, and one at least", () => {
    expect(layCells(908, 2_000, rules)).toEqual({ columns: 5, rowHeight: 213, height: 400 * 213 - 12 });
    expect(layCells(345, 3, rules).columns).toBe(1);
    expect(layCells(100, 0, rules)).toMatchObject({ columns: 1, height: 0 });
  });

  test("draws what is in view and two rows more on either side, wherever it is scrolled to", () => {
    const cells = layCells(908, 2_000, rules);
    for (const top of [0, 1, 5_000, 60_000, cells.height - 700]) {
      const { first, end } = cellsInView(cells, 2_000, { top, height: 700 });
      expect(first % cells.columns).toBe(0);
      expect(end - first).toBeLessThanOrEqual((4 + 2 * 2 + 1) * 5);
      expect((first / 5) * cells.rowHeight).toBeLessThanOrEqual(top);
      expect(Math.ceil(end / 5) * cells.rowHeight).toBeGreaterThanOrEqual(Math.min(top + 700, cells.height));
    }
    expect(cellsInView(cells, 3, { top: 90_000, height: 700 })).toEqual({ first: 3, end: 3 });
  });

  test("scrolls only as far as it must to show a cell", () => {
    const cells = layCells(908, 2_000, rules);
    const view = { top: 1_000, height: 700 };
    expect(scrollToCell(cells, 0, view, 12)).toBe(0);
    expect(scrollToCell(cells, 26, view, 12)).toBe(1_000);
    expect(scrollToCell(cells, 500, view, 12)).toBe(101 * 213 + 12 - 700);
  });

  test("has a cell in view that was just scrolled to, however low it is, and no longer once another takes its place", () => {
    const cells = layCells(370, 9, { ...rules, minWidth: 300 });
    for (const height of [40, 300, 360, 500]) {
      const seen = (top: number): boolean => isInView(cells, 3, { top, height });
      const top = scrollToCell(cells, 3, { top: 0, height }, 12);
      expect([seen(top), seen(top + 20), seen(top + cells.rowHeight), seen(0)]).toEqual([
        true,
        true,
        false,
        false,
      ]);
      expect(scrollToCell(cells, 3, { top, height }, 12)).toBe(top);
    }
  });
});

describe("the list of a moderator", () => {
  const photo = (id: string, link = "old"): Photo => ({ id, asOf: "1", links: { small: link } }) as Photo;
  const item = (id: string, decided = false): Item => ({
    photo: photo(id),
    category: null,
    decision: decided ? ({ id: `d${id}` } as Item["decision"]) : undefined,
    answer: decided ? { outcome: "done" } : undefined,
  });
  const ids = (items: readonly Item[]): string => items.map(({ photo: { id } }) => id).join("");

  test("takes up what was claimed behind what is there, with fresh links, and not what is decided and on its way", () => {
    const items = withClaimed(
      [item("a", true), item("b")],
      [photo("b", "new"), photo("c"), photo("d")],
      new Set("c"),
      new Set(),
    );
    expect(ids(items)).toBe("abd");
    expect(items.map((each) => each.photo.links.small)).toEqual(["old", "new", "old"]);
  });

  test("asks again about what is claimed anew since its decision was answered, whatever the photo is as of", () => {
    const open = (items: readonly Item[]): boolean[] => items.map(({ decision }) => decision === undefined);
    const claimed = { ...photo("a", "new"), asOf: "10" };
    const [inTime, late] = [new Set(["da"]), new Set<string>()];
    expect(open(withClaimed([item("a", true)], [claimed], new Set(), inTime))).toEqual([true]);
    // the server may read the photo after the decision that fell between that and the claim
    const [same] = withClaimed([item("a", true)], [claimed], new Set(), late);
    expect([open([same!]), same!.photo]).toEqual([[false], { ...photo("a"), links: { small: "new" } }]);
  });

  test("keeps the category that was chosen after a decision, and not the one that went with it", () => {
    const again = (category: string | null): (string | null)[] => {
      const decision = { id: "d", category: "menu" } as Item["decision"];
      const decided = { ...item("a", true), decision, category };
      return withClaimed([decided], [photo("a")], new Set(), new Set("d")).map((each) => each.category);
    };
    expect([again("food"), again("menu"), again(null)]).toEqual([["food"], [null], [null]]);
  });

  test("loses what is no longer held, and never what was decided", () => {
    expect(ids(withoutLost([item("a", true), item("b"), item("c")], new Set("abc"), new Set("c")))).toBe(
      "ac",
    );
  });

  test("goes on to the next that is open, else to the first, and behind all where none is", () => {
    const items = [item("a"), item("b", true), item("c", true), item("d")];
    expect([nextOpen(items, 0), nextOpen(items, 3), nextOpen([item("a", true)], 0)]).toEqual([3, 0, 1]);
  });

  test("shows a photo as its moderator decided, unless that did not count", () => {
    const decided = (outcome?: "done" | "taken"): Item => ({
      photo: { id: "a", state: "review", rule: "verify", sawHuman: null } as Photo,
      category: null,
      decision: { verdict: "hidden", human: true } as Item["decision"],
      answer: outcome && { outcome },
    });
    const now = { state: "hidden", rule: "moderator", sawHuman: true };
    expect(asDecided(decided())).toMatchObject(now);
    expect(asDecided(decided("done"))).toMatchObject(now);
    expect(asDecided(decided("taken"))).toMatchObject({ state: "review", rule: "verify" });
    expect(hiddenForHuman(asDecided(decided()))).toBe(true);
  });

  test("forgets the oldest of what is settled once it is too long", () => {
    const unsettled: Item = { ...item("b", true), answer: undefined };
    expect(ids(bounded([item("a", true), unsettled, item("c", true), item("d", true), item("e")], 3))).toBe(
      "bde",
    );
  });
});

describe("the reason of a verdict", () => {
  const reads = (rule: string, reason: string, category: string) => {
    const { said, more } = reasonOf({ rule, reason, category, by: "model:restaurant-6" });
    return [said, more];
  };

  test("says once that every photo of a category is verified, and of another category how likely it is that one", () => {
    expect(reads("verify", "menu 0.97: every menu is verified", "menu")).toEqual([
      "Every menu is verified",
      "",
    ]);
    expect(reads("verify", "menu 0.41: every menu is verified", "other")).toEqual([
      "May be a menu (0.41)",
      "Every menu is verified",
    ]);
    expect(reads("verify", "as it was once written", "menu")).toEqual([
      "Always verified",
      "as it was once written",
    ]);
  });

  test("is what the model sees, and not what there is", () => {
    expect(reads("human", "human 0.99 >= 0.50", "food")[0]).toBe("The model sees a human");
  });
});

describe("the address of a search", () => {
  test("holds every filter, and gives it back", () => {
    const filters = { key: "uploads/a b", state: "hidden", humanFrom: "0.5", to: "2026-11-26" };
    const address = addressOf(filters);
    expect(address).toBe("/desk/search?key=uploads%2Fa+b&state=hidden&humanFrom=0.5&to=2026-11-26");
    expect(filtersOf(Object.fromEntries(new URL(address, "http://desk").searchParams))).toEqual(filters);
    expect(addressOf({ key: "" })).toBe("/desk/search");
  });

  test("asks for whole days of UTC, the last one included", () => {
    expect(asked({ from: "2026-11-25", to: "2026-11-26" })).toMatchObject({
      from: "2026-11-25T00:00:00.000Z",
      to: "2026-11-27T00:00:00.000Z",
    });
    expect(asked({ from: "no day" }).from).toBeUndefined();
  });
});
