import { describe, expect, test } from "vitest";
import { type Audited, agreement } from "../../src/evaluate/agreement.ts";
import { drift, stabilityIndex } from "../../src/evaluate/drift.ts";

describe("drift", () => {
  test("is nothing between equal distributions, whatever their sizes, and grows as they part", () => {
    const even = Array<number>(20).fill(100);
    expect(stabilityIndex(even, even)).toBe(0);
    expect(
      stabilityIndex(
        even,
        even.map((n) => n * 50),
      )!,
    ).toBeLessThan(0.001);
    const slightly = even.map((n, bucket) => (bucket < 10 ? n * 1.1 : n * 0.9));
    const largely = even.map((n, bucket) => (bucket < 10 ? n * 1.9 : n * 0.1));
    expect(stabilityIndex(slightly, even)!).toBeLessThan(0.1);
    expect(stabilityIndex(largely, even)!).toBeGreaterThan(0.25);
  });

  test("is not claimed of fewer than a hundred photos", () => {
    const few = [99, ...Array<number>(19).fill(0)];
    const many = [100, ...Array<number>(19).fill(0)];
    expect(stabilityIndex(few, many)).toBeNull();
    expect(stabilityIndex(many, few)).toBeNull();
    expect(stabilityIndex(many, many)).toBe(0);
  });

  test("splits the days at the first that was asked for, and begins with humans", () => {
    const count = (day: string, score: string, bucket: number, photos: number) => ({
      day,
      score,
      bucket,
      photos,
    });
    const [human, food] = drift(
      [
        count("2026-01-01", "food", 19, 4),
        count("2026-01-02", "human", 0, 3),
        count("2026-01-02", "human", 1, 1),
        count("2026-01-01", "human", 0, 7),
        count("2026-01-03", "human", 2, 5),
      ],
      "2026-01-02",
    );
    expect(human).toMatchObject({ score: "human", psi: null });
    expect(human!.now.slice(0, 3)).toEqual([3, 1, 5]);
    expect(human!.before.slice(0, 2)).toEqual([7, 0]);
    expect(human!.before[2]).toBe(0);
    expect(human!.days).toEqual([
      { day: "2026-01-02", mean: (3 * 0.025 + 0.075) / 4, photos: 4 },
      { day: "2026-01-03", mean: 0.125, photos: 5 },
    ]);
    expect(food).toMatchObject({ score: "food", days: [] });
    expect(food!.before[19]).toBe(4);
  });
});

describe("agreement", () => {
  const row = (more: Partial<Audited>): Audited => ({
    model: "model:a",
    saidVerdict: "shown",
    saidHuman: false,
    saidCategory: "food",
    human: false,
    category: null,
    verdict: "shown",
    reviews: 1,
    ...more,
  });

  test("counts only those of whom a moderator said whether they show a human", () => {
    const hidden = { saidVerdict: "hidden", saidHuman: true, verdict: "hidden" };
    const [model] = agreement([
      row({ ...hidden, human: true, reviews: 8 }),
      row({ ...hidden, human: false, verdict: "shown", reviews: 2 }),
      row({ ...hidden, human: null, reviews: 5 }),
      row({ human: true, verdict: "hidden", reviews: 1 }),
      row({ reviews: 89 }),
    ]);
    expect(model!.audited).toBe(105);
    expect(model!.human.precision).toMatchObject({ hits: 8, of: 10, value: 0.8 });
    expect(model!.human.recall).toMatchObject({ hits: 8, of: 9 });
    expect(model!.human.missed).toMatchObject({ hits: 1, of: 90 });
    expect(model!.kept).toMatchObject({ hits: 102, of: 105 });
    expect(model!.human.precision.low).toBeCloseTo(0.49, 2);
    expect(model!.human.precision.high).toBeCloseTo(0.943, 2);
  });

  test("does not blame the model for photos that the policy hid for their category", () => {
    const [model] = agreement([
      row({ saidVerdict: "hidden", saidHuman: true, verdict: "hidden", human: true, reviews: 8 }),
      row({ saidVerdict: "hidden", saidCategory: "other", verdict: "hidden", reviews: 20 }),
      row({ saidVerdict: "hidden", saidCategory: "other", verdict: "hidden", human: true, reviews: 1 }),
    ]);
    expect(model!.human.precision).toMatchObject({ hits: 8, of: 8 });
    // not shown all the same
    expect(model!.human.recall).toMatchObject({ hits: 9, of: 9 });
    expect(model!.human.missed).toMatchObject({ of: 0 });
  });

  test("takes a category that was left as it was as right, and tells models apart", () => {
    const [a, b] = agreement([
      row({ reviews: 3 }),
      row({ category: "menu", reviews: 1 }),
      row({ model: "model:b", saidCategory: "menu", category: "menu", reviews: 2 }),
    ]);
    expect(a!.categories).toMatchObject([
      { category: "food", precision: { hits: 3, of: 4 }, recall: { hits: 3, of: 3 } },
      { category: "menu", precision: { hits: 0, of: 0, value: null }, recall: { hits: 0, of: 1 } },
    ]);
    expect(b).toMatchObject({ model: "model:b", audited: 2 });
  });
});
