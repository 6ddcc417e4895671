import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { redecide } from "../../src/backfill/redecide.ts";
import { decide, seesNobody } from "../../src/decide/decide.ts";
import { type Policy, parsePolicy } from "../../src/decide/policy.ts";
import { packageRoot } from "../../src/package-root.ts";

const CATEGORIES = ["food", "ambience", "menu", "other"];
const yaml = `
version: 1
human: { hide: 0.6, review: 0.2 }
categories: { food: 0.6, ambience: 0.6, menu: 0.6, other: 0.6 }
verify: [menu]
`;
const policy = parsePolicy(yaml, CATEGORIES, "test.yaml");

function scores(category: string, best: number, human: number) {
  const rest = (1 - best) / 3;
  const categories = Object.fromEntries(CATEGORIES.map((name) => [name, name === category ? best : rest]));
  return { categories, human };
}

/** Tests a row: its name, category, score and human, then what is decided of them. */
const decidedBy =
  (of: Policy) =>
  (...[, category, best, human, verdict, rule]: [string, string, number, number, string, string]): void => {
    expect(decide(scores(category, best, human), of)).toMatchObject({ verdict, rule, category });
  };

describe("decide", () => {
  test.each([
    ["shows a clear photo without a human", "food", 0.9, 0.1, "shown", "clear"],
    ["hides a photo at the threshold itself", "food", 0.99, 0.6, "hidden", "human"],
    ["hides a human whatever the category", "menu", 0.3, 0.95, "hidden", "human"],
    ["reviews what may show a human", "food", 0.99, 0.2, "review", "human-uncertain"],
    ["shows just below the uncertain band", "food", 0.99, 0.1999, "shown", "clear"],
    ["has every menu verified", "menu", 0.99, 0, "review", "verify"],
    ["gives a tag at the threshold itself", "food", 0.6, 0, "shown", "clear"],
    ["reviews what no category is sure of", "ambience", 0.59, 0, "review", "category-uncertain"],
  ])("%s", decidedBy(policy));

  test("gives the tag with its score and threshold, also to a hidden photo", () => {
    expect(decide(scores("food", 0.9, 0.9), policy).tags).toEqual([
      { category: "food", score: 0.9, threshold: 0.6 },
    ]);
  });

  test("has verified what may be a menu too, and tags nothing that has no threshold", () => {
    const both = { ...policy, categories: { food: 0.6, menu: 0.1 } };
    const said = { human: 0, categories: { food: 0.7, menu: 0.1, wine: 0.2 } };
    const { rule, tags } = decide(said, both);
    expect([rule, tags.map(({ category }) => category)]).toEqual(["verify", ["food", "menu"]]);
  });

  describe("where the policy hides other", () => {
    const hiding = parsePolicy(`${yaml}hide: [other]\n`, CATEGORIES, "test.yaml");

    test.each([
      ["hides what is of it", "other", 0.91, 0, "hidden", "hidden-category"],
      ["asks nobody whether it shows a human", "other", 0.91, 0.3, "hidden", "hidden-category"],
      ["says that a human is there", "other", 0.91, 0.7, "hidden", "human"],
      ["asks about what may be something else", "other", 0.59, 0, "review", "category-uncertain"],
      ["shows the others", "food", 0.9, 0, "shown", "clear"],
      ["has every menu verified", "menu", 0.9, 0, "review", "verify"],
    ])("%s", decidedBy(hiding));

    test("says so, and asks nobody whether it is a menu", () => {
      const categories = { ...hiding.categories, menu: 0.05 };
      const said = { human: 0, categories: { food: 0, ambience: 0, menu: 0.09, other: 0.91 } };
      expect(decide(said, { ...hiding, categories }).reason).toBe("other 0.91: hidden by the policy");
    });

    test("shows none for a lesser tag", () => {
      const categories = { ...hiding.categories, food: 0.4, other: 0.9 };
      const said = { human: 0, categories: { food: 0.45, ambience: 0, menu: 0, other: 0.55 } };
      expect(decide(said, { ...hiding, categories })).toMatchObject({
        verdict: "review",
        reason: "other 0.55 is best, and below 0.90",
      });
    });

    test("decides anew what another policy showed", () => {
      const said = scores("other", 0.9, 0);
      const stored = { id: "1", state: "shown" as const, category: "other", policy: "p", human: 0 };
      const [anew] = redecide([{ ...stored, scores: said.categories }], hiding, new Map([["p", policy]]));
      expect(anew).toMatchObject({ visible: true, decision: { verdict: "hidden", rule: "hidden-category" } });
    });
  });

  test("sees nobody below the uncertain band alone", () => {
    expect([0.1999, 0.2, Number.NaN].map((human) => seesNobody(human, policy))).toEqual([true, false, false]);
  });

  test("names the score and the threshold in the reason, never rounding a score up to its threshold", () => {
    expect(decide(scores("food", 0.9, 0.5999), policy).reason).toBe("human 0.59 is between 0.20 and 0.60");
    // 0.58 * 100 is less than 58
    expect(decide(scores("food", 0.58, 0), policy).reason).toBe("food 0.58 is best, and below 0.60");
  });

  test("has as many digits in the reason as the threshold, and score and threshold never read the wrong way round", () => {
    const fine = { ...policy, human: { hide: 0.5, review: 0.008377 } };
    const reason = (human: number) => decide(scores("food", 0.9, human), fine).reason;
    expect(reason(0.0041)).toBe("food 0.90, human 0.004100 < 0.008377");
    expect(reason(0.0084)).toBe("human 0.008400 is between 0.008377 and 0.50");
    expect(reason(0.75)).toBe("human 0.75 >= 0.50");
  });

  test.each([Number.NaN, -0.1, 1.1, Number.POSITIVE_INFINITY, null as unknown as number])(
    "never shows a photo whose human score is %s",
    (human) => {
      expect(decide(scores("food", 0.9, human), policy)).toMatchObject({
        verdict: "review",
        rule: "scores-invalid",
      });
    },
  );

  test("what is no number is no tag either, whatever the threshold", () => {
    const said = { human: 0, categories: { food: 0.9, menu: null as unknown as number } };
    const open = { ...policy, categories: { ...policy.categories, menu: 0 } };
    expect(decide(said, open)).toMatchObject({ rule: "scores-invalid", tags: [] });
  });
});

describe("parsePolicy", () => {
  test("accepts the policy that ships", () => {
    const shipped = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
    expect(parsePolicy(shipped, CATEGORIES, "policy.yaml").verify).toEqual(["menu"]);
  });

  test("hides no category unless one is named", () => {
    expect(policy.hide).toEqual([]);
  });

  test.each([
    ["a category without a threshold", yaml.replace("food: 0.6, ", ""), "expected a threshold for food"],
    [
      "a category that the model lacks",
      yaml.replace("other: 0.6", "other: 0.6, cat: 1"),
      "cat: the model knows only",
    ],
    [
      "a category to verify that the model lacks",
      yaml.replace("[menu]", "[wine]"),
      "wine: the model knows only",
    ],
    ["a threshold outside of 0 to 1", yaml.replace("hide: 0.6", "hide: 60"), "human.hide"],
    [
      "a review threshold above the one that hides",
      yaml.replace("review: 0.2", "review: 0.9"),
      "review <= hide",
    ],
    ["a category to hide that the model lacks", `${yaml}hide: [wine]\n`, "wine: the model knows only"],
    [
      "a category to hide that is to be verified too",
      `${yaml}hide: [menu]\n`,
      "hide: expected categories that are not in verify",
    ],
    [
      "a category to hide that is no list",
      `${yaml}hide: other\n`,
      "hide: expected the categories that are not",
    ],
    ["silence on what is verified", yaml.replace("verify: [menu]", ""), "verify: expected the categories"],
    ["a name that is not known", yaml.replace("verify", "verfiy"), "verfiy"],
    ["a future version", yaml.replace("version: 1", "version: 2"), "version"],
    ["what is no YAML", "a: [", "expected YAML"],
  ])("refuses %s", (_name, text, message) => {
    expect(() => parsePolicy(text, CATEGORIES, "test.yaml")).toThrow(message);
  });
});

test("names every mistake in a policy, with what was expected and what came", () => {
  const wrong = yaml.replace("hide: 0.6", "hide: 1.5").replace("food: 0.6", "fod: x");
  expect(() => parsePolicy(wrong, CATEGORIES, "p.yaml")).toThrow(
    expect.objectContaining({
      message: [
        "p.yaml: human.hide: expected at most 1, got 1.5",
        'p.yaml: categories.fod: expected a number, got "x"',
        "p.yaml: categories: expected a threshold for food, which the model gives",
        `p.yaml: fod: the model knows only ${CATEGORIES.join(", ")}`,
      ].join("\n"),
    }),
  );
  expect(() => parsePolicy("[]", CATEGORIES, "p.yaml")).toThrow(
    "p.yaml: expected an object, got an empty list",
  );
});

test("a policy that was kept before it had to say what is verified is read all the same", () => {
  const kept = yaml.replace("verify: [menu]", "");
  expect(parsePolicy(kept, CATEGORIES, "p", { verify: [] })).toEqual({ ...policy, verify: [] });
  expect(parsePolicy(yaml, CATEGORIES, "p", { verify: [] })).toEqual(policy);
});

test("a stored score decides as the model's own did, which Postgres writes in fewer digits", () => {
  const strict = parsePolicy(yaml.replace("hide: 0.6", "hide: 0.7"), CATEGORIES, "test.yaml");
  const said = scores("food", 0.9, Math.fround(0.7));
  const { verdict: state, category } = decide(said, strict);
  expect(state).toBe("review");
  const stored = { id: "1", state, category, policy: "p", human: 0.7, scores: said.categories };
  expect(redecide([stored], strict, new Map([["p", strict]]))).toEqual([]);
});
