import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, gate, intercept, looked, NARROW, show, test, WIDE } from "./desk.ts";
import { overflowOf } from "./look.ts";

const reviews = async ({ db }: Desk) =>
  (
    await db.pool.query(
      `select p.key, v.decided_by as by, v.verdict, r.category, r.human, v.id::int as id
       from reviews r join verdicts v on v.id = r.verdict_id join photos p on p.id = r.photo_id order by v.id`,
    )
  ).rows;
/** The names of the photos in the grid, in order; all fit into the window. */
const names = async (page: Page): Promise<string[]> => {
  const labels = await page
    .locator(".card")
    .evaluateAll((cards) => cards.map((card) => card.ariaLabel ?? ""));
  return labels.map((label) => label.split(",")[0]!);
};
const inHand = (page: Page): Promise<string | null> =>
  page.locator('.card[aria-current="true"]').getAttribute("aria-label");
const opened = async (desk: Desk, name = "ann", options = {}): Promise<Page> => {
  const page = await desk.open(name, options);
  await looked(page);
  return page;
};

/** Has a person asked about one photo more. */
const ASK = `update photos set state = 'review', rule = 'verify', decided_by = 'model:restaurant-4'
  where id = (select min(id) from photos where state = 'shown' and decided_by like 'model:%') returning key`;
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
    expect(
      await until(
        () => reviews(desk),
        (rows) => rows.length === 4,
      ),
    ).toMatchObject([
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
    await until(
      () => reviews(desk),
      (rows) => rows.length === 1,
    );
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

  test("with mouse and touch the same is done, on one photo and on many", async ({ desk }) => {
    const page = await opened(desk, "ann", { hasTouch: true });
    const all = await names(page);
    await page.locator(".card").nth(1).tap();
    expect(await inHand(page)).toContain(all[1]);
    await page.getByRole("button", { name: "menu" }).tap();
    await page.getByRole("button", { name: "Show", exact: true }).tap();
    await page.getByRole("checkbox", { name: `Select ${all[3]}` }).tap();
    await page.getByRole("checkbox", { name: `Select ${all[5]}` }).click({ modifiers: ["Shift"] });
    await page.getByText("3 photos selected").waitFor();
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

  test("one key too many at the end decides nothing, and the last decision can be taken back", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const many = await page.locator(".card").count();
    for (let n = 0; n < many; n++) await page.keyboard.press("h");
    for (const key of ["j", "s", "2", "x", "s"]) await page.keyboard.press(key);
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
    expect(
      await until(
        () => reviews(desk),
        (rows) => rows.length === 1,
      ),
    ).toMatchObject([{ verdict: "hidden", category: "food" }]);
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

  test("what was uploaded again meanwhile is decided by no key and no button, until it comes anew", async ({
    desk,
  }) => {
    const page = await opened(desk);
    const [first, second] = await names(page);
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
    await until(
      () => reviews(desk),
      (rows) => rows.length > 0,
    );
    expect(await reviews(desk)).toMatchObject([{ key: second, verdict: "hidden" }]);
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

describe.skipIf(!CHROMIUM)("two moderators", { timeout: 120_000 }, () => {
  const many = test.extend({ copies: 8 });

  many("never see the same photo, and never decide it twice", async ({ desk }) => {
    const seen = { ann: new Set<string>(), bob: new Set<string>() };
    const pages = await Promise.all(
      (["ann", "bob"] as const).map(async (name) => {
        const page = await desk.open(name, { path: "/desk/search" });
        // what reaches the page is what its moderator sees
        await intercept(page, "**/review/claims", async (route) => {
          const answer = await route.fetch();
          const { photos } = (await answer.json()) as { photos: { id: string }[] };
          for (const { id } of photos) seen[name].add(id);
          await route.fulfill({ response: answer });
        });
        return page;
      }),
    );
    await Promise.all(pages.map((page) => page.getByRole("link", { name: "Review" }).click()));
    for (const page of pages) await page.locator(".card:not(.decided)").first().waitFor();
    // who came first holds sixty; the page has what is in view, and a little more
    const lists = await Promise.all(
      pages.map(async (page) => {
        const cells = page.locator(".cell");
        return { of: await cells.first().getAttribute("aria-setsize"), drawn: await cells.count() };
      }),
    );
    expect(lists.map(({ of }) => of).sort()).toEqual(["12", "60"]);
    expect(lists.find(({ of }) => of === "60")!.drawn).toBeLessThan(40);
    const undecided = async () =>
      (
        await desk.db.pool.query(`select (select count(*)::int from photos where state = 'review') +
          (select count(*)::int from appeals where answered_at is null) as n`)
      ).rows[0].n;
    while ((await undecided()) > 0) {
      await Promise.all(pages.map((page) => page.keyboard.press("h")));
    }
    expect(seen.ann.size).toBeGreaterThan(5);
    expect(seen.bob.size).toBeGreaterThan(5);
    expect([...seen.ann].filter((id) => seen.bob.has(id))).toEqual([]);
    const { rows } = await desk.db.pool.query(
      "select photo_id from reviews group by photo_id having count(*) > 1",
    );
    expect(rows).toEqual([]);
    await Promise.all(pages.map((page) => page.unrouteAll({ behavior: "wait" })));
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
      await until(
        () => reviews(desk),
        ({ length }) => length === 25,
      );
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
