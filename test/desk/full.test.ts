import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { looked, NARROW, seen, test, WIDE } from "./desk.ts";
import { overflowOf, shoot, violationsInBoth } from "./look.ts";

const heading = (page: Page) => page.locator(".full h2");
const photoHeight = (page: Page, within: string): Promise<number> =>
  page.locator(`${within} .picture`).evaluate((picture) => picture.getBoundingClientRect().height);
/** Takes a photo in hand that is not blurred. */
const clear = async (page: Page): Promise<void> => {
  while ((await page.locator(".card[aria-current] .veil").count()) > 0) await page.keyboard.press("j");
};

const SHORT = { width: 640, height: 400 };
const LANDSCAPE = { width: 844, height: 390 };
const VAST = { width: 2560, height: 1440 };

describe.skipIf(!CHROMIUM)("the full window", { timeout: 120_000 }, () => {
  test("has the photo in hand at its largest, and every key of the page", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    await clear(page);
    const first = await page.locator(".inspector-name").innerText();
    await page.keyboard.press("z");
    await heading(page).getByText(first).waitFor();
    expect(await page.locator(".full img").getAttribute("src")).toContain("/large?");
    expect(await photoHeight(page, ".full")).toBeGreaterThan(620);
    await seen(page);
    await page.keyboard.press("2");
    await page.keyboard.press("s");
    await heading(page).getByText(first).waitFor({ state: "detached" });
    const second = await heading(page).innerText();
    // a screen reader is where the keys act
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe(second);
    await page.keyboard.press("j");
    expect(await heading(page).innerText()).not.toBe(second);
    await page.keyboard.press("k");
    await page.keyboard.press("h");
    const decided = "select verdict, category from review_decisions where undone_at is null order by at";
    const { rows } = await until(
      () => desk.db.pool.query(decided),
      ({ rowCount }) => rowCount === 2,
    );
    expect(rows).toEqual([
      { verdict: "shown", category: "ambience" },
      { verdict: "hidden", category: null },
    ]);
    await page.keyboard.press("u");
    await heading(page).getByText(second).waitFor();
    await page.keyboard.press("m");
    await page.locator(".full .heat, .full .heat-said").first().waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".full").waitFor({ state: "detached" });
    const card = page.locator(`.card[aria-label^="${second},"]`);
    await expect.poll(() => card.evaluate((each) => each === document.activeElement)).toBe(true);
    // Enter on the card, and a click on the picture
    await page.keyboard.press("Enter");
    await heading(page).waitFor();
    await page.keyboard.press("z");
    await page.locator(".full").waitFor({ state: "detached" });
    await page.locator(".inspector-picture").click();
    await heading(page).waitFor();
    expect(desk.complaints).toEqual([]);
  });

  const many = test.extend({ copies: 3 });
  many.for([WIDE, NARROW])(
    "decides photos far down the list, and leaves the page where they are, at $width pixels",
    async (viewport, { desk }) => {
      const page = await desk.open("ann", { viewport });
      await looked(page);
      for (let n = 0; n < 14; n++) await page.keyboard.press("j");
      await page.keyboard.press("z");
      await heading(page).waitFor();
      await page.keyboard.press("j");
      const name = await heading(page).innerText();
      await page.keyboard.press("h");
      await heading(page).getByText(name).waitFor({ state: "detached" });
      await page.keyboard.press("Escape");
      await page.locator(".full").waitFor({ state: "detached" });
      const card = page.locator(".card[aria-current]");
      await expect.poll(() => card.evaluate((each) => each === document.activeElement)).toBe(true);
    },
  );

  test("unblurs with the first key, and closes once nothing is left", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    await page.keyboard.press("z");
    await page.locator(".full .veil").waitFor();
    await page.keyboard.press("s");
    await page.locator(".full .actions").getByText("It was blurred").waitFor();
    await page.locator(".full .veil").waitFor({ state: "detached" });
    for (let n = await page.locator(".card").count(); n > 0; n--) await page.keyboard.press("h");
    await page.getByText("All done").waitFor();
    expect(await page.locator(".full").count()).toBe(0);
  });

  test("has nobody see the cards that it covers", async ({ desk }) => {
    const page = await desk.open("ann", { viewport: { width: 800, height: 600 } });
    await looked(page);
    await page.keyboard.press("z");
    for (let n = 0; n < 8; n++) await page.keyboard.press("j");
    await seen(page);
    await page.keyboard.press("a");
    await page.keyboard.press("s");
    await page
      .locator(".full .actions")
      .getByText(/still selected: .*\d not seen/)
      .waitFor();
    // the one that was in hand
    expect(await page.locator(".card.decided").count()).toBe(1);
  });

  test.for([WIDE, VAST, NARROW, SHORT, LANDSCAPE])(
    "fits at $width x $height pixels, as the page beside it does, in both themes",
    async (viewport, { desk }) => {
      const page = await desk.open("ann", { viewport });
      await looked(page);
      await clear(page);
      const look = (name: string) =>
        violationsInBoth(page, (theme) => shoot(page, `${name}-${viewport.width}-${theme}`));
      expect([await look("review"), await overflowOf(page)]).toEqual([[], []]);
      await page.keyboard.press("z");
      await heading(page).waitFor();
      expect([await look("full"), await overflowOf(page)]).toEqual([[], []]);
      const buttons = page.locator(".full .actions button");
      for (const box of await buttons.evaluateAll((all) => all.map((each) => each.getBoundingClientRect())))
        expect([box.left >= 0, box.right <= viewport.width, box.bottom <= viewport.height]).toEqual([
          true,
          true,
          true,
        ]);
    },
  );
});

describe.skipIf(!CHROMIUM)("the photo in hand", { timeout: 120_000 }, () => {
  test("grows with the window, and has most of a short one", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    await clear(page);
    for (const [viewport, least] of [
      [WIDE, 340],
      [{ width: 1920, height: 1080 }, 540],
      [VAST, 780],
      [LANDSCAPE, 120],
    ] as const) {
      await page.setViewportSize(viewport);
      await expect.poll(() => photoHeight(page, ".inspector"), String(viewport.width)).toBeGreaterThan(least);
    }
    await page.setViewportSize(SHORT);
    const visible = (): Promise<number> =>
      page.locator(".card[aria-current] .picture").evaluate((picture) => {
        const [box, view] = [picture, picture.closest(".scroller")!].map((each) =>
          each.getBoundingClientRect(),
        );
        return Math.min(box!.bottom, view!.bottom) - Math.max(box!.top, view!.top);
      });
    await expect.poll(visible).toBeGreaterThan(200);
  });

  test("is selected on a phone by a box as large as a finger", async ({ desk }) => {
    const page = await desk.open("ann", { viewport: NARROW, hasTouch: true });
    await looked(page);
    const box = (await page.locator(".pick").first().boundingBox())!;
    expect([box.width, box.height]).toEqual([44, 44]);
    expect((await page.locator(".pick input").first().boundingBox())!.width).toBeGreaterThanOrEqual(24);
  });
});
