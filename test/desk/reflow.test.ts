import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { seen, test } from "./desk.ts";

describe.skipIf(!CHROMIUM)("at a high zoom", { timeout: 120_000 }, () => {
  test("nothing that acts is beside the window", async ({ desk }) => {
    const { rows } = await desk.db.pool.query("select id from photos where state = 'hidden' limit 1");
    const scopes = ["review", "operate"] as const;
    const viewport = { width: 320, height: 640 };
    const page = await desk.open("ann", { viewport, scopes: [...scopes] });
    for (const [path, ready] of [
      ["review", ".card"],
      ["search", ".card"],
      [`photos/${rows[0].id}`, ".history"],
      ["operate", ".tile"],
      ["dashboards", ".range"],
      ["access", "table"],
    ] as const) {
      await page.goto(`${desk.url}/desk/${path}`);
      await page.locator(ready).first().waitFor();
      const beside = await page
        .locator("main :is(button, input, select, summary, a.button)")
        .evaluateAll((all) =>
          all
            // kinds scroll, in a row of their own
            .filter((each) => !each.closest(".kinds") && each.getBoundingClientRect().right > innerWidth)
            .map((each) => each.textContent || each.ariaLabel),
        );
      expect([path, beside]).toEqual([path, []]);
    }
  });

  test("the name of the photo in hand is high enough to be hit", async ({ desk }) => {
    const page = await desk.open("ann", { viewport: { width: 640, height: 400 } });
    await page.getByText("look first").waitFor({ state: "detached" });
    const box = await page.locator(".actions-of a").boundingBox();
    expect(box!.height).toBeGreaterThanOrEqual(24);
  });

  test("a window too short for a picture says so, and the full window shows it", async ({ desk }) => {
    const page = await desk.open("ann", { viewport: { width: 800, height: 240 } });
    await page.locator(".review-page .card").first().waitFor();
    await page.getByText("look first").waitFor({ state: "detached" });
    await page.keyboard.press("b");
    await page.keyboard.press("s");
    await page.locator(".inspector").getByText("You have not seen its picture yet: z enlarges it").waitFor();
    expect(await page.locator(".decide-show").getAttribute("aria-disabled")).toBe("true");
    await page.keyboard.press("z");
    await page.locator(".full").waitFor();
    await seen(page);
    await page.keyboard.press("s");
    await expect.poll(() => page.locator(".card.decided").count()).toBe(1);
  });
});

describe.skipIf(!CHROMIUM)("where the system chooses the colours", { timeout: 120_000 }, () => {
  test("the page one is on, the photo in hand and what is chosen are told apart", async ({ desk }) => {
    const page = await desk.open("ann", { forcedColors: "active" });
    await page.locator(".card[aria-current]").waitFor();
    const differ = async (one: string, other: string, property: string): Promise<boolean> => {
      const [a, b] = await Promise.all(
        [one, other].map((each) =>
          page
            .locator(each)
            .first()
            .evaluate((it, name) => getComputedStyle(it).getPropertyValue(name), property),
        ),
      );
      return a !== b;
    };
    const nav = ".top nav a";
    expect(await differ(`${nav}[aria-current]`, `${nav}:not([aria-current])`, "border-bottom-color")).toBe(
      true,
    );
    expect(
      await differ(".kinds [aria-pressed=true]", ".kinds [aria-pressed=false]", "text-decoration-line"),
    ).toBe(true);
    await page.locator(".card[aria-current]").evaluate((card: HTMLElement) => card.blur());
    expect(await differ(".card[aria-current]", ".card:not([aria-current=true])", "outline-style")).toBe(true);
  });
});
