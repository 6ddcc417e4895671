import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, intercept, looked, NARROW, show, test, WIDE } from "./desk.ts";
import { cutOff, overflowOf, shoot, violationsInBoth } from "./look.ts";

/** Each state of each page, and how to come to it once somebody is signed in. */
const STATES: Record<string, (page: Page, desk: Desk) => Promise<void>> = {
  async "nothing to review"(page) {
    await page.getByRole("button", { name: /^Category/ }).click();
    await page.getByText("Nothing waits for you").waitFor();
  },
  async review(page) {
    await page.getByRole("button", { name: "Look at all kinds" }).click();
    await page.locator(".card img").first().waitFor();
  },
  async "review, in work"(page) {
    await looked(page);
    await intercept(page.context(), "**/review/decisions", (route) => route.abort());
    await show(page);
    for (const key of ["h", "x", "2", "m"]) await page.keyboard.press(key);
    await page.getByText("2 decisions on the way.").waitFor();
    await page.context().unroute("**/review/decisions");
  },
  async help(page) {
    await page.getByRole("button", { name: "Keys and help" }).click();
    await page.getByRole("dialog").waitFor();
  },
  async "the menu of the person"(page) {
    await page.getByRole("button", { name: "You, and the theme" }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
  },
  async search(page, { url }) {
    await page.goto(`${url}/desk/search?state=hidden&humanFrom=0.5`);
    await page.locator(".card img").first().waitFor();
  },
  async "search that finds nothing"(page, { url }) {
    await page.goto(`${url}/desk/search?key=nothing-begins-like-this`);
    await page.getByText("No photo is like that").waitFor();
  },
  async photo(page, { url, db }) {
    const { rows } = await db.pool.query("select photo_id from appeals limit 1");
    await page.goto(`${url}/desk/photos/${rows[0].photo_id}`);
    await page.getByRole("heading", { name: "History" }).waitFor();
  },
  async "forgetting a photo"(page) {
    await page.getByRole("button", { name: "Forget…" }).click();
    await page.getByRole("dialog").waitFor();
  },
  async access(page, { url }) {
    await page.goto(`${url}/desk/access`);
    await page.getByRole("rowheader", { name: "ann" }).first().waitFor();
  },
  async "no such photo"(page, { url }) {
    await page.goto(`${url}/desk/photos/999999`);
    await page.getByText("This photo cannot be shown").waitFor();
  },
  async "no such page"(page, { url }) {
    await page.goto(`${url}/desk/nowhere`);
    await page.getByText("Nothing is at this address").waitFor();
  },
  async "review, decided by another meanwhile"(page, { url, db }) {
    await page.goto(`${url}/desk/review`);
    await looked(page);
    const link = await page.locator(".inspector-name a").getAttribute("href");
    await intercept(page.context(), "**/review/decisions", (route) => route.abort());
    await show(page);
    await db.pool.query("delete from review_claims");
    await db.pool.query("select record_review($1, 'bob', 'hidden', null, true)", [link!.split("/").at(-1)]);
    await page.context().unroute("**/review/decisions");
    const told = page.locator(".inspector").getByText("bob decided it meanwhile");
    // the list may come anew between its being found and its being clicked
    const chosen = async (): Promise<boolean> => {
      await page.locator(".card.failed").click({ position: { x: 60, y: 160 } });
      return told.isVisible();
    };
    await expect.poll(chosen, { interval: 1_000 }).toBe(true);
  },
  async "the sign-in"(page, { url }) {
    await page.context().clearCookies();
    await page.goto(`${url}/desk/`);
    await page.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
  },
};

describe.skipIf(!CHROMIUM)("every page", { timeout: 300_000 }, () => {
  test.for([WIDE, NARROW])(
    "has nothing that axe finds, in both themes, at $width pixels",
    async (viewport, { desk }) => {
      const page = await desk.open("ann", { viewport, scopes: ["review", "operate"] });
      const found: Record<string, string[]> = {};
      for (const [name, reach] of Object.entries(STATES)) {
        await reach(page, desk);
        found[name] = await violationsInBoth(page, (theme) =>
          shoot(page, `${name}-${theme}-${viewport.width}`),
        );
        const overflow = await overflowOf(page);
        if (overflow.length > 0) found[`${name}, larger than the screen`] = overflow;
        found[`${name}, cut off`] = await cutOff(page);
        if (/help|menu/.test(name)) await page.keyboard.press("Escape");
      }
      expect(Object.entries(found).filter(([, violated]) => violated.length > 0)).toEqual([]);
      expect(desk.complaints).toEqual([]);
    },
  );
});

describe.skipIf(!CHROMIUM)("the desk", { timeout: 120_000 }, () => {
  test("shows each role its pages, follows the system's theme, and remembers another", async ({ desk }) => {
    const page = await desk.open("vic", { path: "/desk/", scopes: ["read"], colorScheme: "dark" });
    const paper = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await expect.poll(() => new URL(page.url()).pathname).toBe("/desk/search");
    expect(await page.getByRole("navigation").getByRole("link").allInnerTexts()).toEqual([
      "Search",
      "Operate",
      "Dashboards",
    ]);
    const dark = await paper();
    await page.emulateMedia({ colorScheme: "light" });
    const light = await paper();
    expect(light).not.toBe(dark);
    await page.getByRole("button", { name: "You, and the theme" }).click();
    await page.getByText("dark", { exact: true }).click();
    expect(await paper()).toBe(dark);
    await page.reload();
    expect(await paper()).toBe(dark);
  });

  test("finds by what its address says, and an address says every filter", async ({ desk }) => {
    const page = await desk.open("vic", { path: "/desk/search", scopes: ["read"] });
    const shown = page.locator(".card");
    await shown.first().waitFor();
    await page.getByLabel("Verdict").selectOption("hidden");
    await page.getByLabel("Key begins with").fill("landing-");
    await page.getByLabel("Human score from").fill("0.5");
    await page.keyboard.press("Enter");
    const { rows } = await desk.db.pool.query(
      "select count(*)::int as n from photos where state = 'hidden' and key like 'landing-%' and human >= 0.5",
    );
    expect(rows[0].n).toBeGreaterThan(1);
    await page.getByText(`That is all: ${rows[0].n} photos.`).waitFor();
    expect(new URL(page.url()).search).toBe("?key=landing-&state=hidden&humanFrom=0.5");
    await page.reload();
    await page.getByText(`That is all: ${rows[0].n} photos.`).waitFor();
    expect(await page.getByLabel("Key begins with").inputValue()).toBe("landing-");
    // the keyboard goes from choice to choice, and stays in its field
    const verdict = page.getByLabel("Verdict");
    await verdict.focus();
    for (const [key, state] of [
      ["ArrowDown", "review"],
      ["ArrowUp", "hidden"],
    ]) {
      await page.keyboard.press(key!);
      await page.waitForURL(`**/search?key=landing-&state=${state}&humanFrom=0.5`);
      await page.getByText("That is all").or(page.getByText("No photo is like that")).first().waitFor();
      expect(await verdict.evaluate((field) => field === document.activeElement)).toBe(true);
    }
    await page.goBack();
    await expect.poll(() => verdict.inputValue()).toBe("review");
    await page.getByRole("link", { name: "Clear" }).click();
    await expect.poll(() => page.getByLabel("Key begins with").inputValue()).toBe("");
    await page.getByText("That is all: 22 photos.").waitFor();
    await page.goto(`${desk.url}/desk/search?scoreTo=0.01&by=restaurant-6`);
    await page.getByText("No photo is like that").waitFor();
    expect(await page.getByLabel("Category score to").inputValue()).toBe("0.01");
    expect(await page.getByLabel("Model or moderator").inputValue()).toBe("restaurant-6");
    // what no policy of today knows is said all the same
    await page.goto(`${desk.url}/desk/search?category=dessert&rule=INTERNAL`);
    await page.getByText("No photo is like that").waitFor();
    expect(await page.getByRole("combobox", { name: "Category" }).inputValue()).toBe("dessert");
    expect(await page.getByRole("combobox", { name: "Reason" }).inputValue()).toBe("INTERNAL");
  });

  test("an operator ends the session of another, which is logged", async ({ desk }) => {
    const ann = await desk.open("ann");
    const page = await desk.open("root", { path: "/desk/access", scopes: ["operate"] });
    await page.getByRole("button", { name: "End the session of ann" }).click();
    await ann.getByLabel("Token").waitFor();
    await page.reload();
    await page.getByRole("row", { name: /root.*ended a session of ann/ }).waitFor();
    await page.getByText("this one").waitFor();
    expect(await page.getByRole("button", { name: /End the session/ }).count()).toBe(0);
  });

  test("a photo's page has its whole history, and what is decided there counts", async ({ desk }) => {
    const { rows } = await desk.db.pool.query("select id from photos where key = 'landing-portrait-1.jpg'");
    const page = await desk.open("ann", { path: `/desk/photos/${rows[0].id}` });
    const history = page.locator(".history");
    await history.getByText("nobody is in it").waitFor();
    await history.getByText("the model restaurant-6").waitFor();
    await page.getByLabel("Category").selectOption("ambience");
    await page.getByRole("button", { name: /^Show .*, which is hidden/ }).click();
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await history.getByText("Nobody was seen").waitFor();
    expect(
      (await desk.db.pool.query("select state, category, decided_by from photos where id = $1", [rows[0].id]))
        .rows,
    ).toEqual([{ state: "shown", category: "ambience", decided_by: "moderator:ann" }]);
  });

  test("a photo's page has the later of two decisions of one moment above the other", async ({ desk }) => {
    const { rows } = await desk.db.pool.query(
      `select id, record_review(id, 'ann', 'shown', null, false), record_review(id, 'ann', 'hidden', null, true)
      from photos where key = 'landing-portrait-1.jpg'`,
    );
    const page = await desk.open("ann", { path: `/desk/photos/${rows[0].id}` });
    const verdicts = page.locator(".history .verdict");
    await verdicts.first().waitFor();
    expect((await verdicts.allInnerTexts()).slice(0, 2)).toEqual(["hidden", "shown"]);
  });

  test("a search says where it has not looked at every key that begins so", async ({ desk }) => {
    await desk.db.pool.query(`insert into photos (store, bucket, key, state, decided_at, rule)
      select 's3', 'photos', 'many/' || n, 'shown', now(), 'clear' from generate_series(10001, 15001) n`);
    const page = await desk.open("vic", { path: "/desk/search?key=many/&state=hidden", scopes: ["read"] });
    await page.getByText("only the first 5,000 keys that begin so were looked at").waitFor();
    await page.goto(`${desk.url}/desk/search?key=many/1000&state=hidden`);
    await page.getByText("Take a filter away").waitFor();
  });

  test("a photo's page says how often a photo was tried that failed, and names no model, as none judged it", async ({
    desk,
  }) => {
    const { rows } = await desk.db.pool.query(`with failed as (
      insert into photos (store, bucket, key, state, failure, rule, reason, decided_by, decided_at)
      values ('s3', 'nowhere', 'a.jpg', 'failed', 'STORE_UNAVAILABLE', 'failed', 'no bucket', 'model:restaurant-6', now())
      returning id, state, rule, reason, failure, decided_by)
    insert into verdicts (photo_id, verdict, rule, reason, failure, decided_by, tries)
      select *, 5 from failed returning photo_id as id`);
    const page = await desk.open("ann", { path: `/desk/photos/${rows[0].id}` });
    const failed = page.locator(".history li", { hasText: "failed" });
    await failed.waitFor();
    expect(await failed.innerText()).toMatch(/failed after 5 tries\s+STORE_UNAVAILABLE. no bucket$/);
    expect(await page.getByText("restaurant-6").count()).toBe(0);
  });

  test("back leads to the page before, or to Search where none of the desk was before", async ({ desk }) => {
    const page = await desk.open("vic", { path: "/desk/search?state=hidden", scopes: ["read"] });
    const photo = page.locator(".card a").first();
    const address = await photo.getAttribute("href");
    const back = page.getByRole("button", { name: "Back" });
    await photo.click();
    await back.click();
    await page.waitForURL("**/search?state=hidden");
    const tab = await page.context().newPage();
    await tab.goto(`${desk.url}${address}`);
    await tab.getByRole("button", { name: "Back" }).click();
    await tab.waitForURL("**/desk/search");
  });

  test("a picture that a browser has is shown once its session ended to nobody, not even to those who go back", async ({
    desk,
  }) => {
    const page = await desk.open("ann");
    await looked(page);
    const link = await page
      .locator<HTMLImageElement>(".card img")
      .first()
      .evaluate(({ src }) => src);
    const tab = await page.context().newPage();
    const status = async (went: ReturnType<Page["goto"]>) => (await went)?.status();
    expect(await status(tab.goto(link))).toBe(200);
    await tab.goto("about:blank");
    await page.getByRole("button", { name: "You, and the theme" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").waitFor();
    expect(await status(tab.goBack())).toBe(401);
    expect(await status(tab.goto(link))).toBe(401);
  });

  test("what was forgotten is not shown any more", async ({ desk }) => {
    const { rows } = await desk.db.pool.query("select id from photos where key = 'landing-portrait-1.jpg'");
    const page = await desk.open("oda", { path: `/desk/photos/${rows[0].id}`, scopes: ["operate"] });
    await page.getByRole("button", { name: "Forget…" }).click();
    await page.getByRole("button", { name: "Forget it" }).click();
    await page.getByRole("heading", { name: "It was forgotten" }).waitFor();
    expect(await page.getByText("landing-portrait-1.jpg").count()).toBe(0);
    await page.getByRole("link", { name: "Access" }).click();
    await page.getByRole("row", { name: /oda.*had 1 photo forgotten/ }).waitFor();
  });
});
