import { expect, test } from "vitest";
import { decide } from "../../src/decide/decide.ts";
import { compare } from "../../src/evaluate/comparison.ts";
import { evaluate, judgedOf } from "../../src/evaluate/evaluation.ts";
import { renderPage } from "../../src/evaluate/page.ts";
import { asJson, type Report } from "../../src/evaluate/report.ts";
import { labelled, scored } from "../labels.ts";

const NAMES = ["food", "ambience", "menu", "other"];
const policy = {
  version: 1 as const,
  human: { hide: 0.5, review: 0.1 },
  categories: { food: 0.5, ambience: 0.5, menu: 0.5, other: 0.5 },
  verify: ["menu"],
  hide: [],
};
const EVIL = `<script>alert("x")</script>&'.jpg`;
const labels = [
  labelled("a.jpg", { category: "food", human: false, source: "one" }),
  labelled(EVIL, { category: "food", human: true, kind: "<b>", source: "two" }),
  labelled("c.jpg", { category: "menu", human: false, source: "<i>" }),
];

function reportOf(models: readonly (readonly [number, number])[]): Report {
  const judged = models.map(([score, human]) =>
    judgedOf(
      labels,
      labels.map(() => scored("food", score, human)),
      (scores) => decide(scores, policy),
    ),
  );
  return {
    set: "<set>",
    at: "2026-01-02T03:04:05.000Z",
    policy: { file: "policy.yaml", thresholds: policy },
    labelled: 5,
    problems: ["labels.jsonl:9: <oops>"],
    unjudged: [{ file: "<gone>", code: "GONE", message: "no such file" }],
    trainedOn: [],
    subjects: judged.map((each, index) => ({
      name: `m-${index} fp32`,
      model: `m-${index}`,
      variant: "fp32",
      provider: "cpu",
      evaluation: evaluate(each, NAMES, 5),
    })),
    comparison: judged[1] ? compare(judged[0]!, judged[1], 0.1) : null,
  };
}
const THUMBNAIL = "data:image/jpeg;base64,AAAA";
const thumbnails = new Map(labels.map(({ path }) => [path, THUMBNAIL]));

test("the page asks nothing of any server, runs no script, and shows what people named as text", () => {
  for (const models of [
    [[0.9, 0.05]],
    [
      [0.9, 0.05],
      [0.6, 0.7],
    ],
  ] as const) {
    const page = renderPage(reportOf(models), thumbnails);
    expect(page).toContain("default-src 'none'; img-src data:");
    expect(page).not.toMatch(/<script|<link|<iframe|@import|url\(|\son\w+=/i);
    const sources = [...page.matchAll(/\b(?:src|href|action|srcset)="([^"]*)"/g)].map(
      ([, target]) => target!,
    );
    expect(sources.length).toBeGreaterThan(5);
    for (const target of sources) expect(target).toMatch(/^(#[a-z-]+$|data:image\/jpeg;base64,)/);
    expect(page).not.toMatch(/<b><|<i><|<oops>|<gone>|<set>/);
    expect(page).toContain("&#60;script&#62;alert(&#34;x&#34;)&#60;/script&#62;&#38;&#39;.jpg");
  }
});

test("names the sources of mistakes, and what is most often taken for what", () => {
  const page = renderPage(reportOf([[0.9, 0.05]]), thumbnails);
  expect(page).toMatch(
    /<th scope="row">&#60;i&#62;<\/th><td>1<\/td><td>1<\/td><td[^>]*>menu -&#62; food 1<\/td>/,
  );
});

test("says which categories the policy hides", () => {
  const report = reportOf([[0.9, 0.05]]);
  const hiding = { ...policy, hide: ["other"] };
  const page = renderPage({ ...report, policy: { ...report.policy, thresholds: hiding } }, thumbnails);
  expect(page).toContain("every menu is verified; other is hidden. Held back");
});

test("whoever uses a keyboard or a screen reader finds sections, table heads, names of charts and pictures", () => {
  const page = renderPage(reportOf([[0.9, 0.05]]), thumbnails);
  for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`<h2 id="${id}">`);
  expect(page.match(/<table/g)?.length).toBe(page.match(/<caption>/g)?.length);
  for (const [head] of page.matchAll(/<th\b[^>]*>/g)) expect(head).toMatch(/scope="(row|col)"/);
  for (const [image] of page.matchAll(/<img\b[^>]*>/g)) expect(image).toMatch(/alt="[^"]+"/);
  for (const [chart] of page.matchAll(/<svg\b[^>]*>/g)) {
    expect(chart).toMatch(/role="img" aria-label="[^"]+"|aria-hidden="true"/);
  }
  for (const [box] of page.matchAll(/<div class="scroll"[^>]*>/g)) {
    expect(box).toMatch(/role="region" aria-label="[^"]+" tabindex="0"/);
  }
});

test("a threshold that finds so many is cut, as one above it would miss the photo that it is named for", () => {
  const page = renderPage(reportOf([[0.9, 0.84996]]), thumbnails);
  expect(page).toMatch(/<th scope="row">100\.0&nbsp;%<\/th><td>33\.3&nbsp;%<\/td><td>0\.8499<\/td>/);
});

test("only photos with a human are blurred until they are chosen", () => {
  const page = renderPage(reportOf([[0.9, 0.05]]), thumbnails);
  const tiles = [...page.matchAll(/<li>(<label class="veil">|<img)[\s\S]*?<\/li>/g)].map(([tile]) => tile);
  // shown although a human is there, and a menu called food
  expect(tiles).toHaveLength(2);
  expect(tiles.map((tile) => [tile.includes("veil"), tile.includes("labelled food, human")])).toEqual([
    [true, true],
    [false, false],
  ]);
});

test("every model of a comparison has its figures, and the difference its test", () => {
  const page = renderPage(
    reportOf([
      [0.9, 0.05],
      [0.6, 0.7],
    ]),
    thumbnails,
  );
  expect(page).toContain("McNemar");
  expect(page.match(/class="confusion"/g)).toHaveLength(2);
  expect(page).toContain("They differ on 3 photos");
});

test("the JSON has every figure, and no path of this machine", () => {
  const json = asJson(reportOf([[0.9, 0.05]]));
  expect(json).not.toContain("/photos/");
  const { subjects } = JSON.parse(json) as Report;
  const exact = asJson({ ...reportOf([[0.9, 0.1234567890123]]), labelled: 12_345_678 });
  expect(JSON.parse(exact)).toMatchObject({ labelled: 12_345_678 });
  expect(exact).toContain('"threshold":0.1234567890123');
  expect(subjects[0]?.evaluation.effect.humans.shown).toMatchObject({ hits: 1, of: 1, value: 1 });
  expect(subjects[0]?.evaluation.mistakes.humansShown.worst[0]?.file).toBe(EVIL);
});
