import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, gate, intercept, looked, show, test } from "./desk.ts";
import { names, opened } from "./reviewing.ts";

const decided = async ({ db }: Desk): Promise<string[]> =>
  (
    await db.pool.query(
      "select p.key || ' ' || v.verdict as what from reviews r join verdicts v on v.id = r.verdict_id join photos p on p.id = r.photo_id order by v.id",
    )
  ).rows.map(({ what }) => what);
const held = async ({ db }: Desk): Promise<string[]> =>
  (
    await db.pool.query(
      "select p.key from review_claims c join photos p on p.id = c.photo_id where c.until > now() order by p.id",
    )
  ).rows.map(({ key }) => key);
const inHand = async (page: Page): Promise<string> =>
  (await page.locator('.card[aria-current="true"]').getAttribute("aria-label"))!.split(",")[0]!;

describe.skipIf(!CHROMIUM)("after a reload, or signing out", { timeout: 120_000 }, () => {
  test("what was decided before it is taken back, the last first, and is in hand", async ({ desk }) => {
    const page = await opened(desk);
    const [first, second, third, fourth] = await names(page);
    await show(page);
    for (const key of ["x", "j", "x", "h"]) await page.keyboard.press(key);
    await show(page);
    await expect.poll(() => decided(desk)).toHaveLength(4);
    await page.reload();
    await looked(page);
    expect(await names(page)).not.toContain(fourth);
    await page.keyboard.press("u");
    expect(await inHand(page)).toBe(fourth);
    // what was decided at once is taken back at once, also after another reload
    await expect.poll(() => held(desk)).toContain(fourth!);
    await page.reload();
    await looked(page);
    await page.keyboard.press("u");
    expect(await inHand(page)).toBe(second);
    expect(await names(page)).toEqual(expect.arrayContaining([second, third, fourth]));
    await page.keyboard.press("h");
    await show(page);
    await expect.poll(() => decided(desk)).toEqual([`${first} shown`, `${second} hidden`, `${third} shown`]);
    for (const name of [third, second, first]) {
      await page.keyboard.press("u");
      expect(await inHand(page)).toBe(name);
    }
    await expect.poll(() => decided(desk)).toHaveLength(0);
    await page.keyboard.press("u");
    await page.getByRole("status").getByText("Nothing to take back").waitFor();
    await page.reload();
    await looked(page);
    expect(await names(page)).toEqual(expect.arrayContaining([first, second, third, fourth]));
    expect(desk.complaints).toEqual([]);
  });

  test("nobody takes back what another decided in the same tab, and who signs in again does what they did", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const [first] = await names(page);
    await show(page);
    await expect.poll(() => decided(desk)).toHaveLength(1);
    for (const name of ["bob", "ann"]) {
      await page.getByRole("button", { name: "You, and the theme" }).click();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Token").fill((await desk.token(name, ["review"])).token);
      await page.keyboard.press("Enter");
      await looked(page);
      await page.keyboard.press("u");
      if (name === "bob") await page.getByRole("status").getByText("Nothing to take back").waitFor();
    }
    expect(await inHand(page)).toBe(first);
    await expect.poll(() => decided(desk)).toHaveLength(0);
  });

  test("photos are free once their moderator has signed out, and not before the server is asked to end the session", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const all = await held(desk);
    const ended = gate();
    let stillHeld: string[] | undefined;
    await intercept(page, "**/desk/api/session", async (route) => {
      if (route.request().method() !== "DELETE") return route.continue();
      stillHeld = await held(desk);
      ended.open();
      await route.abort();
    });
    const refused: string[] = [];
    page.on("response", (answer) => {
      if (answer.status() === 401) refused.push(answer.url());
    });
    const signOut = async (): Promise<void> => {
      await page.getByRole("button", { name: "You, and the theme" }).click();
      await page.getByRole("button", { name: "Sign out" }).click();
    };
    await signOut();
    await ended.passed;
    expect(stillHeld).toEqual([]);
    // whoever is still signed in goes on, and is told so
    await page.getByText("You stay signed in as before: the server cannot be reached.").waitFor();
    await looked(page);
    expect(await held(desk)).toEqual(all);
    await page.keyboard.press("Escape");
    await page.unroute("**/desk/api/session");
    await signOut();
    await page.getByLabel("Token").waitFor();
    expect([await held(desk), refused]).toEqual([[], []]);
  });

  test("what was claimed and never came to the page is there", async ({ desk }) => {
    const page = await opened(desk);
    const all = (await names(page)).sort();
    await page.getByRole("link", { name: "Search" }).click();
    await expect.poll(() => held(desk)).toHaveLength(0);
    const client = await desk.db.pool.connect();
    const claims = async (): Promise<number> =>
      (await client.query("select from pg_locks where locktype = 'advisory' and not granted")).rowCount!;
    await client.query("begin");
    await client.query("select pg_advisory_xact_lock(hashtext('maitred claim_reviews'))");
    await page.getByRole("link", { name: "Review" }).click();
    await until(claims, (n) => n === 1);
    await page.reload();
    await until(claims, (n) => n === 2);
    await client.query("commit");
    client.release();
    await looked(page);
    expect((await names(page)).sort()).toEqual(all);
  });

  test("a key that comes with the first photo decides nothing, and the page says why", async ({ desk }) => {
    const page = await opened(desk);
    const first = await inHand(page);
    await page.addInitScript(() => {
      new MutationObserver((_, observer) => {
        if (!document.querySelector(".card[aria-current]")) return;
        observer.disconnect();
        for (const key of ["s", "x", "2"]) dispatchEvent(new KeyboardEvent("keydown", { key }));
      }).observe(document, { childList: true, subtree: true });
    });
    // it stands there for a second
    await Promise.all([page.getByText("look first").waitFor(), page.reload()]);
    await page.getByRole("status").getByText("look at it first").waitFor();
    await looked(page);
    expect(await inHand(page)).toBe(first);
    expect(
      await page.locator(".card.decided, .card input:checked, .categories [aria-pressed=true]").count(),
    ).toBe(0);
    await show(page);
    expect(
      await until(
        () => decided(desk),
        (rows) => rows.length > 0,
      ),
    ).toEqual([`${first} shown`]);
  });

  test("a photo that came while nobody saw the page is looked at for as long as any other", async ({
    desk,
  }) => {
    const page = await opened(desk);
    await page.clock.install();
    await page.addInitScript(() => {
      Object.defineProperty(document, "visibilityState", { get: () => "hidden", configurable: true });
    });
    await page.reload();
    const said = page.getByText("look first");
    await said.waitFor();
    await page.clock.fastForward(5_000);
    await page.evaluate(() => new Promise(requestAnimationFrame));
    expect(await said.count()).toBe(1);
    const first = await inHand(page);
    await page.evaluate(() => {
      Object.defineProperty(document, "visibilityState", { get: () => "visible" });
      document.dispatchEvent(new Event("visibilitychange"));
      dispatchEvent(new KeyboardEvent("keydown", { key: "s" }));
    });
    expect(await inHand(page)).toBe(first);
    await page.clock.fastForward(1_000);
    await said.waitFor({ state: "detached" });
    await show(page);
    await page.getByText("✓ shown").waitFor();
    expect(await decided(desk)).toEqual([`${first} shown`]);
  });
});
