import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, test } from "./desk.ts";
import { violations } from "./look.ts";
import { inHand, names, opened, reviews } from "./reviewing.ts";

const passes = async ({ db }: Desk) =>
  (
    await db.pool.query(
      `select p.key, s.who, p.state from review_passes s join photos p on p.id = s.photo_id
        where s.undone_at is null order by s.passed_at`,
    )
  ).rows;

describe.skipIf(!CHROMIUM)("who is not sure of a photo", { timeout: 120_000 }, () => {
  test("leaves it to another, whose card says so, and may take that back", async ({ desk }) => {
    const ann = await opened(desk);
    const [first, second, third] = await names(ann);
    await ann.keyboard.press("2");
    await ann.keyboard.press("n");
    expect(await inHand(ann)).toContain(second);
    await ann.getByText("✓ not sure").waitFor();
    await ann.getByRole("status").getByText(`${first} not sure`).waitFor({ state: "attached" });
    await ann.getByRole("button", { name: "Not sure" }).click();
    expect(await inHand(ann)).toContain(third);
    const rows = await until(
      () => passes(desk),
      (found) => found.length === 2,
    );
    expect(rows).toMatchObject([
      { key: first, who: "ann" },
      { key: second, who: "ann" },
    ]);
    // what somebody was sure of is no longer left to others
    await ann.keyboard.press("h");
    await ann.keyboard.press("k");
    await ann.keyboard.press("n");

    const bob = await opened(desk, "bob");
    const card = bob.locator(`.card[aria-label^="${first},"]`);
    await card.getByText("1 not sure").waitFor();
    expect(await card.getAttribute("aria-label")).toContain(", 1 not sure, ");
    await bob.locator(".inspector").getByText("1 moderator").waitFor();
    expect(await names(bob)).toEqual(expect.arrayContaining([first, second]));
    expect(await violations(bob)).toEqual([]);

    await ann.keyboard.press("u");
    await ann.keyboard.press("u");
    expect(await inHand(ann)).toContain(second);
    await until(
      () => passes(desk),
      (found) => found.length === 1,
    );
    expect(await reviews(desk)).toEqual([]);
    expect(desk.complaints).toEqual([]);
  });

  test("is kept in the browser while the network is away, and counts once it is back", async ({ desk }) => {
    const page = await opened(desk);
    const [first, second, third] = await names(page);
    await page.context().setOffline(true);
    for (const key of ["n", "h", "n", "u"]) await page.keyboard.press(key);
    await page.getByText("4 decisions on the way.").waitFor();
    await page.context().setOffline(false);
    await until(
      () => page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(".act.")).length),
      (n) => n === 0,
    );
    expect(await passes(desk)).toMatchObject([{ key: first }]);
    expect(await reviews(desk)).toMatchObject([{ key: second, verdict: "hidden" }]);
    expect(await inHand(page)).toContain(third);
    await page.locator(`.card[aria-label^="${first},"]`).click();
    await page.locator(".actions a").getByText("Left to another by you").click();
    await page.locator(".history").getByText("ann left it to another moderator").waitFor();
  });

  test("is told that the photo waits where nobody else is there", async ({ desk }) => {
    const page = await opened(desk);
    const many = (await names(page)).length;
    await page.keyboard.press("a");
    await page.keyboard.press("n");
    await page.getByText("What you were not sure of comes again after a day").waitFor();
    expect(await passes(desk)).toHaveLength(many);
    await page.reload();
    await page.getByRole("heading", { name: "Nothing waits for you" }).waitFor();
    await page.keyboard.press("u");
    await until(
      () => passes(desk),
      (found) => found.length === 0,
    );
    await expect.poll(() => page.locator(".card:not(.decided)").count()).toBe(many);
  });
});
