import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { gate, intercept, looked, show, test } from "./desk.ts";
import { ASK, names, opened, reviews } from "./reviewing.ts";

describe.skipIf(!CHROMIUM)("review", { timeout: 120_000 }, () => {
  test("new photos come by themselves once the list is empty, and are no one else's", async ({ desk }) => {
    const page = await opened(desk);
    await page.keyboard.press("a");
    await page.keyboard.press("h");
    await page.getByText("All done").waitFor();
    const { rows } = await desk.db.pool.query(ASK);
    // it is in hand at once
    await page.locator(`.card[aria-label^="${rows[0].key},"][aria-current]:not(.decided)`).waitFor();
    expect((await desk.db.pool.query("select distinct moderator from review_claims")).rows).toEqual([
      { moderator: "ann" },
    ]);
  });

  test("what was uploaded again meanwhile is decided by no key and no button, until it comes anew", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const [first, second] = await names(page);
    const anew = gate();
    await intercept(page, "**/review/claims", async (route) => {
      await anew.passed;
      await route.continue();
    });
    await desk.db.pool.query(
      `with judged as (update photos set version = '', revived_at = clock_timestamp() where key = $1 returning *)
      insert into verdicts (photo_id, verdict, rule, reason, category, decided_by, policy, decided_at)
      select id, state, rule, reason, category, decided_by, policy, revived_at from judged`,
      [first],
    );
    await show(page);
    const card = page.locator(`.card[aria-label^="${first},"]`);
    await card.getByText("withdrawn").waitFor();
    await page.keyboard.press("k");
    await page.locator(".actions").getByText("its object was replaced or removed meanwhile").waitFor();
    await page.keyboard.press("s");
    expect(await page.locator(".actions button").allInnerTexts()).toEqual([
      expect.stringContaining("Enlarge"),
      expect.stringContaining("Undo"),
    ]);
    await page.keyboard.press("j");
    await page.keyboard.press("h");
    await expect.poll(() => reviews(desk)).not.toHaveLength(0);
    expect(await reviews(desk)).toMatchObject([{ key: second, verdict: "hidden" }]);
    anew.open();
    await card.getByText("withdrawn").waitFor({ state: "detached" });
  });

  test("what is decided while a claim is answered is not asked about again", async ({ desk }) => {
    const page = await opened(desk);
    const [first] = await names(page);
    const { rows } = await desk.db.pool.query("select id::text from photos where key = $1", [first]);
    const [asked, decided] = [gate(), gate()];
    // the server claims, and then reads the photos: the decision falls between, so that they are as of it
    await intercept(page, "**/review/claims", async (route) => {
      const response = await route.fetch();
      const { photos, ...rest } = (await response.json()) as { photos: { id: string; asOf: string }[] };
      asked.open();
      await decided.passed;
      const [{ as_of }] = (
        await desk.db.pool.query("select max(id)::text as as_of from verdicts where photo_id = $1", [
          rows[0].id,
        ])
      ).rows;
      const read = photos.map((photo) => (photo.id === rows[0].id ? { ...photo, asOf: as_of } : photo));
      await route.fulfill({ response, json: { ...rest, photos: read } });
    });
    const claimed = page.waitForResponse("**/review/claims");
    await desk.db.pool.query(ASK);
    await asked.passed;
    const listed = await page.locator(".card").count();
    await show(page);
    await page.getByText("✓ shown").waitFor();
    decided.open();
    await (await claimed).finished();
    await expect.poll(() => page.locator(".card").count()).toBe(listed + 1);
    expect(await page.locator(`.card[aria-label^="${first},"]`).getAttribute("class")).toContain("decided");
  });

  test("what is appealed after it was decided is asked about anew, in the same page", async ({ desk }) => {
    const page = await opened(desk);
    const [first] = await names(page);
    await show(page);
    await page.getByText("✓ shown").waitFor();
    await desk.db.pool.query(
      "select open_appeal(id, 'look again', 'guest', 'token:uploads') from photos where key = $1",
      [first],
    );
    // the list is full: it is claimed once there is room
    await page.keyboard.press("a");
    await page.keyboard.press("h");
    await page.locator(`.card[aria-label^="${first},"][aria-current]:not(.decided)`).waitFor();
    await page.getByText("look again").waitFor();
  });
});

/** The names of all photos in the grid, which has only those in view; the first is in hand before and after. */
async function wholeList(page: Page, many: number): Promise<string[]> {
  const found = new Set<string>();
  const down = async (): Promise<number> => {
    for (const name of await names(page)) found.add(name);
    await page.keyboard.press("ArrowDown");
    return found.size;
  };
  await expect.poll(down).toBe(many);
  await page.keyboard.press("Home");
  return [...found];
}

describe.skipIf(!CHROMIUM)("two moderators", { timeout: 120_000 }, () => {
  const many = test.extend({ copies: 8 });

  many("share a list out, and never have or decide the same photo", async ({ desk }) => {
    const pages = await Promise.all(["ann", "bob"].map((name) => desk.open(name, { path: "/desk/search" })));
    await Promise.all(pages.map((page) => page.getByRole("link", { name: "Review" }).click()));
    // each holds half, whoever came first; the page has what is in view, and a little more
    const listed = () =>
      Promise.all(pages.map((page) => page.locator(".cell").first().getAttribute("aria-setsize")));
    await expect.poll(listed).toEqual(["36", "36"]);
    for (const page of pages) expect(await page.locator(".cell").count()).toBeLessThan(36);
    const lists = await Promise.all(pages.map((page) => wholeList(page, 36)));
    expect(new Set(lists.flat()).size).toBe(72);
    const undecided = async () =>
      (
        await desk.db.pool.query(`select (select count(*)::int from photos where state = 'review') +
          (select count(*)::int from appeals where answered_at is null) as n`)
      ).rows[0].n;
    while ((await undecided()) > 0) {
      await Promise.all(pages.map((page) => page.keyboard.press("h")));
    }
    for (const page of pages) await page.getByText(/^All done/).waitFor();
    // also of what went from one to the other
    for (const page of pages) expect(await page.locator(".conflicts").count()).toBe(0);
    const decided = await reviews(desk);
    expect(new Set(decided.map(({ key }) => key)).size).toBe(72);
    expect(decided).toHaveLength(72);
    for (const name of ["ann", "bob"])
      expect(decided.filter(({ by }) => by === `moderator:${name}`).length).toBeGreaterThan(5);
  });

  many(
    "two tabs of one moderator hold photos of their own, whatever either chooses or leaves",
    async ({ desk }) => {
      const page = await opened(desk);
      const other = await page.context().newPage();
      await other.goto(`${desk.url}/desk/review`);
      await other.locator(".card").first().waitFor();
      const listed = (tab: Page) => tab.locator(".cell").first().getAttribute("aria-setsize");
      const held = async () =>
        (await desk.db.pool.query("select from review_claims where until > now()")).rowCount;
      expect([await listed(page), await listed(other), await held()]).toEqual(["60", "12", 72]);
      await other.getByRole("button", { name: /^No scores/ }).click();
      await other.getByText("Nothing waits for you").waitFor();
      expect(await held()).toBe(60);
      // as many as make the first claim again, which gets what the other gave back and loses nothing; most have arrived by then, so
      // that there is room for all of it
      for (let n = 0; n < 25; n++) await page.keyboard.press("h");
      await expect.poll(() => reviews(desk)).toHaveLength(25);
      for (let n = 25; n < 31; n++) await page.keyboard.press("h");
      await expect.poll(() => listed(page)).toBe("72");
      await page.getByRole("link", { name: "Search" }).click();
      await until(held, (n) => n === 0);
      expect(await reviews(desk)).toHaveLength(31);
      expect(desk.complaints).toEqual([]);
    },
  );

  test("the key that brings photos back decides nothing", async ({ desk }) => {
    const page = await opened(desk);
    await page.clock.install();
    await page.reload();
    await looked(page);
    await page.keyboard.press("h");
    await page.getByText("✓ hidden").first().waitFor();
    await page.clock.fastForward(601_000);
    await page.getByText("Your photos went to others").waitFor();
    await page.keyboard.press("s");
    await page.locator(".card:not(.decided)").first().waitFor();
    expect((await reviews(desk)).map(({ verdict }) => verdict)).toEqual(["hidden"]);
  });

  test("photos go to others where nobody uses the page, and come back with the next key", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const held = async () =>
      (await desk.db.pool.query("select from review_claims where until > now()")).rowCount;
    expect(await held()).toBeGreaterThan(0);
    await page.clock.install();
    await page.reload();
    await looked(page);
    await page.clock.fastForward(601_000);
    await page.getByText("Your photos went to others").waitFor();
    await until(held, (n) => n === 0);
    await page.keyboard.press("j");
    await page.locator(".card").first().waitFor();
    expect(await held()).toBeGreaterThan(0);
  });

  test("photos stay with whoever only speaks to the page, or has a screen reader press", async ({ desk }) => {
    const page = await opened(desk);
    await page.clock.install();
    await page.reload();
    await looked(page);
    const renewed = async (): Promise<void> => {
      const answer = page.waitForResponse("**/review/claims/renew");
      await page.clock.fastForward(400_000);
      expect((await (await answer).json()).photos.length).toBeGreaterThan(0);
    };
    await renewed();
    await page.evaluate(() => document.querySelector<HTMLElement>(".toolbar-switches button")!.click());
    await renewed();
  });
});
