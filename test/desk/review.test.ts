import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { intercept, looked, NARROW, show, test, WIDE } from "./desk.ts";
import { overflowOf } from "./look.ts";
import { inHand, names, opened, reviews } from "./reviewing.ts";

describe.skipIf(!CHROMIUM)("review", { timeout: 120_000 }, () => {
  test("with mouse and touch the same is done, on one photo and on many", async ({ desk }) => {
    const page = await opened(desk, "ann", { hasTouch: true });
    const all = await names(page);
    await page.locator(".card").nth(1).tap();
    expect(await inHand(page)).toContain(all[1]);
    await page.getByRole("button", { name: "menu" }).tap();
    await page.getByRole("button", { name: "Show", exact: true }).tap();
    await page.getByRole("checkbox", { name: `Select ${all[3]}` }).tap();
    await page.getByRole("checkbox", { name: `Select ${all[5]}` }).click({ modifiers: ["Shift"] });
    await page.locator(".actions").getByText("3 photos selected").waitFor();
    await page.getByRole("button", { name: "Hide: human" }).click();
    const rows = await until(
      () => reviews(desk),
      (found) => found.length === 4,
    );
    expect(rows.map(({ key, verdict, category }) => [key, verdict, category])).toEqual([
      [all[1], "shown", "menu"],
      [all[3], "hidden", null],
      [all[4], "hidden", null],
      [all[5], "hidden", null],
    ]);
  });

  test("what is hidden for a human is blurred until it is asked for, or until blurring is turned off", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const veiled = page.locator(".card", { has: page.locator(".veil") });
    const many = await veiled.count();
    expect(many).toBeGreaterThan(1);
    // why it is asked about is in what a screen reader says, too
    const asked = await veiled.first().locator(".kind").innerText();
    expect(await veiled.first().getAttribute("aria-label")).toContain(`, ${asked}, `);
    expect(
      await veiled
        .first()
        .locator("img")
        .evaluate((img) => getComputedStyle(img).filter),
    ).toContain("blur");
    await veiled.first().click({ position: { x: 60, y: 160 } });
    await page.keyboard.press("b");
    await expect.poll(() => veiled.count()).toBe(many - 1);
    await page.getByRole("button", { name: "Blur" }).click();
    await expect.poll(() => veiled.count()).toBe(0);
  });

  test("what is hidden here for a human is blurred at once, and what is shown is not", async ({ desk }) => {
    const page = await opened(desk);
    // nobody has answered yet
    await intercept(page, "**/review/decisions", () => {});
    const card = (name: string) => page.locator(`.card[aria-label^="${name},"]`);
    const [clear, blurred] = await Promise.all(
      [".card:not(:has(.veil))", ".card:has(.veil)"].map((which) =>
        page.locator(which).first().getAttribute("aria-label"),
      ),
    );
    const [hidden, shown] = [clear!.split(",")[0]!, blurred!.split(",")[0]!];
    await card(hidden).click();
    await page.keyboard.press("h");
    await card(hidden).locator(".veil").waitFor();
    await card(shown).click({ position: { x: 60, y: 160 } });
    await show(page);
    await card(shown).locator(".veil").waitFor({ state: "detached" });
  });

  test("on a phone a photo is as wide as the screen, wholly in view, and leads to its own page", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann", { viewport: NARROW });
    for (let n = 0; n < 3; n++) await page.keyboard.press("j");
    const card = page.locator('.card[aria-current="true"]');
    const [seen, scroller] = [await card.boundingBox(), await page.locator(".scroller").boundingBox()];
    expect(seen!.width).toBeGreaterThan(340);
    expect(seen!.y).toBeGreaterThanOrEqual(scroller!.y);
    expect(seen!.y + seen!.height).toBeLessThanOrEqual(scroller!.y + scroller!.height);
    const name = (await card.getAttribute("aria-label"))!.split(",")[0]!;
    await page.locator(".inspector").getByRole("link", { name }).click();
    await page.getByRole("heading", { name }).waitFor();
  });

  test("on a phone neither button nor key decides a photo that was scrolled out of view, but brings it back", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann", { viewport: NARROW, hasTouch: true });
    const first = (await inHand(page))!.split(",")[0]!;
    const card = page.locator(`.card[aria-label^="${first},"]`);
    const hide = page.getByRole("button", { name: "Hide: human" });
    const away = () =>
      page.locator(".scroller").evaluate((scroller) => {
        scroller.scrollTop = 5 * scroller.clientHeight;
      });
    for (const press of [() => hide.tap(), () => page.keyboard.press("s"), () => page.keyboard.press("x")]) {
      await away();
      await card.waitFor({ state: "detached" });
      await Promise.all([page.getByText("look first").waitFor(), press()]);
      const [seen, scroller] = [await card.boundingBox(), await page.locator(".scroller").boundingBox()];
      expect(seen!.y).toBeGreaterThanOrEqual(scroller!.y);
      await looked(page);
    }
    expect(await page.locator(".card.decided, .card input:checked").count()).toBe(0);
    // what is selected was chosen one by one
    await page.getByRole("checkbox", { name: `Select ${first}` }).tap();
    await away();
    await card.waitFor({ state: "detached" });
    await hide.tap();
    expect(
      await until(
        () => reviews(desk),
        (rows) => rows.length > 0,
      ),
    ).toMatchObject([{ key: first, verdict: "hidden" }]);
  });

  test.for([WIDE, NARROW])(
    "a long name leaves every button on the screen, at $width pixels",
    async (viewport, { desk }) => {
      await desk.db.pool.query(
        "update photos set key = gen_random_uuid() || '-' || gen_random_uuid() || '.jpg'",
      );
      const page = await opened(desk, "ann", { viewport });
      const rights = await page
        .locator(".actions button")
        .evaluateAll((buttons) => buttons.map((button) => button.getBoundingClientRect().right));
      expect(Math.max(...rights)).toBeLessThanOrEqual(viewport.width);
      expect(await overflowOf(page)).toEqual([]);
    },
  );
});
