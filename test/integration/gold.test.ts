import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collectGold, type Gold } from "../../samples/gold.ts";
import { ended } from "../maitred.ts";

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

test("a human anywhere in a long photo hides it, and so does one who is seen on black only", async () => {
  const tile = (file: string): Promise<Buffer> =>
    sharp(readFileSync(join(folder, file)))
      .resize(300, 225, { fit: "fill" })
      .removeAlpha()
      .raw()
      .toBuffer();
  const raw = { width: 300, height: 225, channels: 3 } as const;
  const [food, human] = [await tile("business-product-1.jpg"), await tile("business-intro.jpg")];
  const laid = mkdtempSync(join(tmpdir(), "maitred-laid-"));
  const files: string[] = [];
  const expected: string[] = [];
  const lay = async (name: string, verdict: string, photo: Sharp): Promise<void> => {
    await photo.toFile(join(laid, name));
    files.push(join(laid, name));
    expected.push(`${name} ${verdict}`);
  };
  for (const tiles of [4, 10])
    for (const at of [-1, 0, 1, tiles / 2, tiles - 1]) {
      const layers = Array.from({ length: tiles }, (_, n) => {
        return { input: n === at ? human : food, raw, left: 0, top: n * 225 };
      });
      const strip = sharp({ create: { ...raw, height: tiles * 225, background: "white" } }).composite(layers);
      await lay(`${tiles}-${at}.jpg`, at < 0 ? "shown" : "hidden", strip);
    }
  // brightness of food on white, and of the human on black
  const mirage = Buffer.alloc(300 * 225 * 4);
  for (let pixel = 0; pixel < 300 * 225; pixel++) {
    const [onWhite, onBlack] = [128 + food[pixel * 3]! / 2, Math.min(0.8 * human[pixel * 3]!, 127)];
    const alpha = 255 - onWhite + onBlack;
    mirage.fill((255 * onBlack) / alpha, pixel * 4, pixel * 4 + 3);
    mirage[pixel * 4 + 3] = alpha;
  }
  await lay("mirage.png", "hidden", sharp(mirage, { raw: { ...raw, channels: 4 } }));
  const onWhite = sharp(readFileSync(join(laid, "mirage.png"))).flatten({ background: "white" });
  await lay("on-white.png", "shown", onWhite);
  const judged = await classify(files);
  expect(judged.map(({ verdict }, index) => `${basename(files[index]!)} ${verdict}`)).toEqual(expected);
  rmSync(laid, { recursive: true });
});

test("names each photo that broke its verdict, its scores and what was expected", async () => {
  const allShown =
    "human: { hide: 1, review: 1 }\ncategories: { food: 0, ambience: 0, menu: 0, other: 0 }\nverify: []\n";
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
  return classify(
    gold.map(({ file }) => join(folder, file)),
    env,
  );
}

async function classify(files: readonly string[], env: Record<string, string> = {}): Promise<Judged[]> {
  const command = await ended(["classify", "--json", ...files], env);
  expect(command.code, command.err).toBe(0);
  return command.out
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
