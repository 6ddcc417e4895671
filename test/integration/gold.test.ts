import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collectGold, type Gold } from "../../samples/gold.ts";
import { maitred } from "../maitred.ts";

/** What `maitred classify --json` says of one photo. */
interface Judged {
  verdict: string;
  category: string;
  scores: Record<string, number>;
  human: number;
  reason: string;
}

const folder = mkdtempSync(join(tmpdir(), "maitred-gold-"));
let gold: Gold[] = [];
beforeAll(async () => {
  gold = await collectGold(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the shipped model and policy keep the verdicts of the gold set", async () => {
  expect(broken(await judge())).toEqual([]);
});

test("every photo of the gold set has a label, and no human's may be shown", () => {
  const photos = readdirSync(folder).filter((name) => name !== "labels.jsonl");
  expect(gold.map(({ file }) => file)).toEqual(photos.sort());
  const humans = gold.filter(({ human, hands }) => human && !hands);
  expect(humans.length).toBeGreaterThanOrEqual(5);
  for (const { verdicts } of humans) expect(verdicts).toEqual(["hidden", "review"]);
  for (const { verdicts } of gold.filter(({ category }) => category === "menu"))
    expect(verdicts).toEqual(["review"]);
});

test("names each photo that broke its verdict, its scores and what was expected", async () => {
  const allShown = "human: { hide: 1, review: 1 }\ncategories: { food: 0, ambience: 0, menu: 0, other: 0 }\n";
  const lax = broken(await judge(`version: 1\n${allShown}`));
  expect(lax.join("\n")).toMatch(
    /menu-1\.jpg: expected review \(a menu card: .*\), got shown: food \d\.\d+, ambience \d\.\d+, menu 0\.\d+, other \d\.\d+, human 0\.\d+/,
  );
  const strict = broken(await judge(`version: 1\n${allShown.replaceAll(": 1", ": 0")}`));
  expect(strict.join("\n")).toMatch(/business-product-1\.jpg: expected shown \(.*\), got hidden: food/);
});

/** Judges the gold set by the command that users have; `policy` replaces the one that ships. */
async function judge(policy?: string): Promise<Judged[]> {
  const env: Record<string, string> = {};
  if (policy) {
    env["MAITRED_POLICY"] = join(mkdtempSync(join(tmpdir(), "maitred-policy-")), "policy.yaml");
    writeFileSync(env["MAITRED_POLICY"], policy);
  }
  const command = maitred(["classify", "--json", ...gold.map(({ file }) => join(folder, file))], env);
  expect(await command.exit, command.stderr()).toBe(0);
  return command
    .stdout()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Judged);
}

/** A line for each photo whose verdict is not one of those that are acceptable, and for food of another category. */
function broken(judged: readonly Judged[]): string[] {
  return gold.flatMap(({ file, category, verdicts, why }, index) => {
    const { verdict, category: said, scores, human, reason } = judged[index]!;
    if (!verdicts) return [];
    // what people come to see must stand under its name
    const named = category !== "food" || said === category;
    if (verdicts.includes(verdict) && named) return [];
    const all = Object.entries({ ...scores, human }).map(([name, score]) => `${name} ${score.toFixed(4)}`);
    return [
      `${file}: expected ${verdicts.join(" or ")} (${why}), got ${verdict}${named ? "" : ` as ${said}, not ${category}`}: ${all.join(", ")} (${reason})`,
    ];
  });
}
