import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { looked, test } from "./desk.ts";

/** As on a machine that is slow: a frame takes longer than a hand from key to key. */
async function slow(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
}
/** All keys at once, before anything is drawn. */
const type = (page: Page, ...keys: string[]) => Promise.all(keys.map((key) => page.keyboard.press(key)));
const focused = (page: Page) => page.evaluate(() => document.activeElement?.ariaLabel ?? "");
const inHand = (page: Page) => page.locator(".card[aria-current]").getAttribute("aria-label");

describe.skipIf(!CHROMIUM)("keys that are typed without a pause", { timeout: 120_000 }, () => {
  test("open the photo that came into hand, and the one that did in the full window", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    await page.locator(".card[aria-current]").click();
    await slow(page);
    await type(page, "j", "Enter");
    await page.locator(".full").waitFor();
    await type(page, "j", "z", "Enter");
    await page.locator(".full").waitFor();
    await type(page, "j", "Escape");
    await page.locator(".full").waitFor({ state: "detached" });
    expect(await focused(page)).toBe(await inHand(page));
    expect(await page.locator(".card").nth(3).getAttribute("aria-current")).toBe("true");
  });

  test("are the reason that is asked for", async ({ desk }) => {
    const page = await desk.open("ann", { path: "/desk/operate", scopes: ["operate"] });
    const pause = page.getByRole("button", { name: "Pause" }).first();
    await pause.focus();
    await slow(page);
    await type(page, "Enter", ..."too many");
    await expect.poll(() => page.getByLabel("Why").inputValue()).toBe("too many");
  });
});
