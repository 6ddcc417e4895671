import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, gate, looked, NARROW, seen, test } from "./desk.ts";

const shown = async ({ db }: Desk): Promise<string[]> => {
  const { rows } = await db.pool.query(
    "select p.key from review_decisions d join photos p on p.id = d.photo_id where d.verdict = 'shown' order by d.at",
  );
  return rows.map(({ key }) => key);
};
const inHand = async (page: Page): Promise<string> =>
  (await page.locator(".card[aria-current]").getAttribute("aria-label"))!.split(",")[0]!;
const saysWhy = (page: Page, words: string) => page.locator(".actions").getByText(words).waitFor();

const BLURRED = "It was blurred: look at it, then show it";
const UNSEEN = "You have not seen its picture yet";

/** Somebody appealed against what is hidden for a human: it comes first, and is blurred. */
describe.skipIf(!CHROMIUM)("a photo is shown to everybody", { timeout: 120_000 }, () => {
  for (const [how, press] of [
    ["the key", (page: Page) => page.keyboard.press("s")],
    ["the button", (page: Page) => page.getByRole("button", { name: "Show", exact: true }).click()],
  ] as const) {
    test(`by ${how} once it is not blurred any more: the first press only unblurs it`, async ({ desk }) => {
      const page = await desk.open("ann");
      await looked(page);
      const first = await inHand(page);
      const veil = page.locator(".inspector .veil");
      await veil.waitFor();
      await press(page);
      await saysWhy(page, BLURRED);
      await veil.waitFor({ state: "detached" });
      expect(await inHand(page)).toBe(first);
      await seen(page);
      await press(page);
      await expect.poll(() => shown(desk)).toHaveLength(1);
      expect(await shown(desk)).toEqual([first]);
    });
  }

  test("once its picture has loaded, and hidden without", async ({ desk }) => {
    const loads = gate();
    const page = await desk.open("ann", { path: "/desk/search" });
    await page.getByRole("button", { name: "Search" }).waitFor();
    await page.route("**/pictures/**", async (route) => {
      await loads.passed;
      await route.continue();
    });
    await page.getByRole("link", { name: "Review" }).click();
    await page.locator(".inspector").waitFor();
    await looked(page);
    const [first, second] = await page
      .locator(".card:not(:has(.veil))")
      .evaluateAll((cards) => cards.map((card) => card.ariaLabel!.split(",")[0]!));
    await page.locator(`.card[aria-label^="${first},"]`).click();
    await page.keyboard.press("s");
    await saysWhy(page, UNSEEN);
    await page.getByRole("button", { name: "Show", exact: true }).click({ force: true });
    expect(await inHand(page)).toBe(first);
    await page.keyboard.press("h");
    await page.getByText("✓ hidden").waitFor();
    await page.locator(`.card[aria-label^="${second},"]`).click();
    await page.keyboard.press("s");
    await saysWhy(page, UNSEEN);
    loads.open();
    await seen(page);
    await page.keyboard.press("s");
    await page.getByText("✓ shown").waitFor();
    expect(await shown(desk)).toEqual([second]);
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });

  test("also where that of another came once this one was in hand again", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    await page.keyboard.press("b");
    await page.keyboard.press("j");
    const gone = (await page.locator(".inspector img").elementHandle())!;
    await page.keyboard.press("k");
    const waits = page.locator(".inspector .picture-wait");
    await waits.waitFor({ state: "detached" });
    // as a browser tells of an image that is in the page no more
    await gone.dispatchEvent("load");
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
    expect(await waits.count()).toBe(0);
    await seen(page);
    await page.keyboard.press("s");
    await page.getByText("✓ shown").waitFor();
  });

  test("never where its picture cannot be had", async ({ desk }) => {
    const page = await desk.open("ann", { path: "/desk/search" });
    await page.getByRole("button", { name: "Search" }).waitFor();
    await page.route("**/pictures/**", (route) =>
      route.fulfill({ status: 422, json: { detail: "CORRUPT" } }),
    );
    await page.getByRole("link", { name: "Review" }).click();
    await page.locator(".inspector").waitFor();
    await looked(page);
    await page.locator(".card").getByText("Every menu is verified").first().click();
    await page.locator(".inspector").getByText("CORRUPT").waitFor();
    await page.keyboard.press("s");
    await saysWhy(page, UNSEEN);
    await page.keyboard.press("h");
    await page.getByText("✓ hidden").waitFor();
    expect(await shown(desk)).toEqual([]);
  });

  const many = test.extend({ copies: 3 });
  for (const viewport of [{ width: 1280, height: 640 }, NARROW]) {
    many(
      `with others where its card was in view, and not blurred; the rest stays selected, at ${viewport.width} pixels`,
      async ({ desk }) => {
        const page = await desk.open("ann", { viewport });
        await looked(page);
        await page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
        // what is drawn, below what is in view too
        const cards = await page.locator(".card").evaluateAll((all) => {
          const { bottom } = document.querySelector(".scroller")!.getBoundingClientRect();
          return all.map((card) => ({
            key: card.ariaLabel!.split(",")[0]!,
            below: card.getBoundingClientRect().top > bottom,
          }));
        });
        const below = cards.filter((card) => card.below).map(({ key }) => key);
        expect(below.length).toBeGreaterThan(0);
        await page.keyboard.press("a");
        await page.keyboard.press("s");
        await saysWhy(page, "Not shown, and still selected:");
        await expect.poll(() => page.getByText("… shown").count()).toBe(0);
        const keys = await shown(desk);
        expect(keys.filter((key) => below.includes(key))).toEqual([]);
        const { rows } = await desk.db.pool.query(
          "select key from photos where key = any($1) and human >= 0.5",
          [keys],
        );
        expect(rows).toEqual([]);
        expect(await page.locator(".card:not(.decided) input:not(:checked)").count()).toBe(0);
        await looked(page);
        await page.keyboard.press("h");
        await page.getByText("All done").waitFor();
      },
    );
  }

  test("on its own page by the same rule", async ({ desk }) => {
    const { rows } = await desk.db.pool.query("select id from photos where state = 'hidden' limit 1");
    const page = await desk.open("ann", { path: `/desk/photos/${rows[0].id}` });
    const show = page.getByRole("button", { name: "Show", exact: true });
    await show.click();
    await page.getByText(BLURRED).first().waitFor();
    expect(await page.locator(".photo-look .veil").count()).toBe(0);
    const done = page.getByText("The server has your decision: shown.");
    await expect
      .poll(async () => {
        await show.click();
        return done.count();
      })
      .toBe(1);
  });
});
