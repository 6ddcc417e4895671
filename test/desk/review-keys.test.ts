import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { looked, show, test } from "./desk.ts";
import { ASK, inHand, names, opened, reviews } from "./reviewing.ts";

/** In the page: in the moment in which a photo comes, presses the key, and its box. */
const pressAsOneComes = (key: string): Promise<{ checked: boolean; said: string | null; cut: boolean }> =>
  new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      const box = document.querySelector<HTMLInputElement>(".card:not(.decided) input");
      if (!box) return;
      observer.disconnect();
      dispatchEvent(new KeyboardEvent("keydown", { key }));
      box.click();
      const said = document.querySelector(".actions-of p")!;
      const cut = said.scrollWidth > said.clientWidth;
      resolve({ checked: box.checked, said: said.textContent, cut });
    });
    observer.observe(document, { childList: true, subtree: true });
  });

describe.skipIf(!CHROMIUM)("review", { timeout: 120_000 }, () => {
  test("photos are decided, put into categories and taken back with the keyboard alone", async ({ desk }) => {
    const page = await opened(desk);
    const [first, second, third, fourth] = await names(page);
    await page.keyboard.press("j");
    expect(await inHand(page)).toContain(second);
    // a screen reader is where the keys act
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.getAttribute("aria-label")))
      .toContain(second);
    await page.keyboard.press("k");
    await page.keyboard.press("h");
    await page.keyboard.press("3");
    await show(page);
    await page.keyboard.press("x");
    await page.keyboard.press("j");
    await page.keyboard.press("x");
    await page.keyboard.press("2");
    await page.keyboard.press("Shift+H");
    const saw = { by: "moderator:ann" };
    await expect
      .poll(() => reviews(desk))
      .toMatchObject([
        { ...saw, key: first, verdict: "hidden", category: null, human: true },
        { ...saw, key: second, verdict: "shown", category: "menu", human: false },
        { ...saw, key: third, verdict: "hidden", category: "ambience", human: null },
        { ...saw, key: fourth, verdict: "hidden", category: "ambience", human: null },
      ]);
    const taken =
      "select count(*)::int as n from photos where key = any($1) and decided_by = 'moderator:ann'";
    await page.keyboard.press("u");
    const left = async () => (await desk.db.pool.query(taken, [[first, second, third, fourth]])).rows[0].n;
    await until(left, (n) => n === 2);
    expect(await inHand(page)).toContain(third);
    expect(desk.complaints).toEqual([]);
  });

  test("a key that is held decides one photo, and goes on moving", async ({ desk }) => {
    const page = await opened(desk);
    const [, second, , fourth] = await names(page);
    for (let n = 0; n < 3; n++) await page.keyboard.down("h");
    await page.keyboard.up("h");
    expect(await inHand(page)).toContain(second);
    for (let n = 0; n < 2; n++) await page.keyboard.down("j");
    expect(await inHand(page)).toContain(fourth);
    await page.getByText("✓ hidden").waitFor();
    expect(await reviews(desk)).toHaveLength(1);
  });

  test("a button that a key is held on, or that is clicked twice, decides one photo and takes one back", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const [, second, third, fourth] = await names(page);
    const button = (name: string) => page.getByRole("button", { name });
    const hold = async (key: string): Promise<void> => {
      for (let n = 0; n < 4; n++) await page.keyboard.down(key);
      await page.keyboard.up(key);
    };
    await button("Hide: human").focus();
    await hold("Enter");
    expect(await inHand(page)).toContain(second);
    await hold("Space");
    expect(await inHand(page)).toContain(third);
    const once = page.locator(".actions").getByText("A double click counts once");
    // it stands there for two seconds
    await Promise.all([once.waitFor(), button("Hide: other").dblclick()]);
    expect(await inHand(page)).toContain(fourth);
    await once.waitFor({ state: "detached" });
    await Promise.all([once.waitFor(), button("Undo").dblclick()]);
    expect(await inHand(page)).toContain(third);
    await page.getByRole("status").getByText("A double click counts once").waitFor();
    await button("Undo").focus();
    await hold("Enter");
    expect(await inHand(page)).toContain(second);
    await expect.poll(() => reviews(desk)).toHaveLength(1);
  });

  test("help opens with ?, closes with Escape, and lets single keys be turned off", async ({ desk }) => {
    const page = await opened(desk);
    const before = await inHand(page);
    await page.keyboard.press("?");
    const help = page.getByRole("dialog", { name: "Keys" });
    await help.waitFor();
    await page.keyboard.press("j");
    expect(await inHand(page)).toBe(before);
    await help.getByRole("checkbox").uncheck();
    await page.keyboard.press("Escape");
    await help.waitFor({ state: "detached" });
    await page.keyboard.press("j");
    expect(await inHand(page)).toBe(before);
  });

  test("one key too many at the end decides nothing, and the last decision can be taken back", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const many = await page.locator(".card").count();
    const decided = page.locator(".card.decided");
    // one that comes before the next photo is in view is refused
    await expect
      .poll(async () => {
        if ((await decided.count()) < many - 1) await page.keyboard.press("h");
        return decided.count();
      })
      .toBe(many - 1);
    await looked(page);
    for (const key of ["h", "j", "s", "2", "x", "s"]) await page.keyboard.press(key);
    await page.getByText("All done").waitFor();
    const kept = () =>
      page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(".act.")).length);
    await until(kept, (n) => n === 0);
    expect((await reviews(desk)).map(({ verdict }) => verdict)).toEqual(Array(many).fill("hidden"));
    await page.getByRole("button", { name: "Undo" }).click();
    const left = async () => (await reviews(desk)).length;
    await until(left, (n) => n === many - 1);
    await show(page);
    await until(left, (n) => n === many);
    expect((await reviews(desk)).at(-1)).toMatchObject({ verdict: "shown", category: null });
  });

  test("keys act where they stand on other keyboards", async ({ desk }) => {
    const page = await opened(desk);
    const press = (key: string, code: string) =>
      page.evaluate((how) => dispatchEvent(new KeyboardEvent("keydown", how)), { key, code });
    const first = await inHand(page);
    // French: digits want shift; Russian: no Latin letters
    await press("&", "Digit1");
    await press("р", "KeyH");
    await expect.poll(() => inHand(page)).not.toBe(first);
    await expect.poll(() => reviews(desk)).toMatchObject([{ verdict: "hidden", category: "food" }]);
  });

  test("one key too many, as photos come, neither decides nor selects one of them, and the page says why", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const many = await page.locator(".card").count();
    await page.keyboard.press("a");
    await page.keyboard.press("h");
    await page.getByText("All done").waitFor();
    const key = page.evaluate(pressAsOneComes, "h");
    await desk.db.pool.query(ASK);
    expect(await key).toEqual({
      checked: false,
      said: "Just came into hand: look first",
      cut: false,
    });
    const said = page.getByText("look first");
    await said.waitFor({ state: "detached" });
    expect(await page.locator(".card:not(.decided)").count()).toBe(1);
    await page.keyboard.press("h");
    const rows = await until(
      () => reviews(desk),
      (found) => found.length > many,
    );
    expect(rows.slice(many)).toMatchObject([{ verdict: "hidden", human: true }]);
  });

  test("a screen reader is on what the keys act on, also where the photo in hand went to another, and says so", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const [first, second] = await names(page);
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("Escape");
    expect(await focused()).toContain(first);
    await desk.db.pool.query(
      "update review_claims set moderator = 'bob' where photo_id = (select id from photos where key = $1)",
      [first],
    );
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await page.locator(`.card[aria-label^="${second},"][aria-current]`).waitFor();
    await expect.poll(focused).toContain(second);
    await page.getByRole("status").getByText("A photo just came into hand: look at it first").waitFor();
  });
});
