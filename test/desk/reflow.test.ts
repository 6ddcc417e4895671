import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { seen, test } from "./desk.ts";

describe.skipIf(!CHROMIUM)("at 400 % zoom", { timeout: 120_000 }, () => {
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
