import type { Page, Route } from "playwright-core";
import { describe, expect, onTestFinished } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, gate, intercept, looked, show, test } from "./desk.ts";
import { violations } from "./look.ts";
import { startProxy } from "./proxy.ts";
import { opened } from "./reviewing.ts";

const decided = async ({ db }: Desk) =>
  (await db.pool.query("select decided_by as by, verdict from verdicts where rule = 'moderator' order by id"))
    .rows;
const by = "moderator:ann";
/** Acts that the browser keeps, those that did not count among them. */
const kept = (page: Page): Promise<number> =>
  page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(".act.")).length);

describe.skipIf(!CHROMIUM)("decisions on their way", { timeout: 120_000 }, () => {
  test("what is decided offline is delivered once the network is back", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await page.locator(".inspector .picture-wait").waitFor({ state: "detached" });
    await page.context().setOffline(true);
    await show(page);
    await page.keyboard.press("h");
    await page.keyboard.press("u");
    await page.getByText("3 decisions on the way.").waitFor();
    expect(await decided(desk)).toEqual([]);
    await page.context().setOffline(false);
    // what is kept in the browser goes once it was answered, the undoing last
    await expect.poll(() => kept(page)).toBe(0);
    expect(await decided(desk)).toMatchObject([
      { by, verdict: "shown" },
      { by, verdict: "hidden" },
    ]);
    expect((await desk.db.pool.query("select from reviews")).rowCount).toBe(1);
  });

  test("pictures that did not come while the network was away come once it is back", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await page.keyboard.press("b");
    await page.context().setOffline(true);
    await page.keyboard.press("m");
    await page
      .locator(".inspector .picture-problem")
      .getByText("no heat map: the server cannot be reached")
      .waitFor();
    await page.getByText("Offline").waitFor();
    await page.context().setOffline(false);
    // the first one waits until the model is loaded
    await page.locator(".inspector .heat").waitFor({ timeout: 60_000 });
  });

  test("what was not delivered when the page was closed is delivered by the next, and no photo comes back", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann");
    const before = await page.locator(".card").count();
    await intercept(page.context(), "**/review/decisions", (route) => route.abort());
    await show(page);
    await show(page);
    await page.getByText("2 decisions on the way.").waitFor();
    const next = await page.context().newPage();
    await page.close();
    await next.goto(`${desk.url}/desk/review`);
    await next.locator(".card").first().waitFor();
    expect(await next.locator(".card").count()).toBe(before - 2);
    await next.context().unroute("**/review/decisions");
    await expect.poll(() => decided(desk)).toMatchObject([{ by }, { by }]);
  });

  test("what the next page delivers while it claims does not come back either", async ({ desk }) => {
    const page = await opened(desk, "ann");
    const context = page.context();
    const before = await page.locator(".card").count();
    await intercept(context, "**/review/decisions", (route) => route.abort());
    await show(page);
    await page.getByText("1 decision on the way. It is kept in this browser, and is sent").waitFor();
    const next = await context.newPage();
    await page.close();
    await context.unroute("**/review/decisions");
    const claim = gate();
    await next.route("**/review/decisions", async (route) => {
      await claim.passed;
      await route.continue();
    });
    const first = async (route: Route): Promise<void> => {
      const response = await route.fetch();
      claim.open();
      await expect.poll(() => kept(next)).toBe(0);
      await route.fulfill({ response });
    };
    // a later one may be in hand when the page closes
    await next.route("**/review/claims", first, { times: 1 });
    await next.goto(`${desk.url}/desk/review`);
    await next.locator(".card").first().waitFor();
    expect(await next.locator(".card").count()).toBe(before - 1);
  });

  test("an answer that was lost on the way does not make a decision count twice", async ({ desk }) => {
    const page = await opened(desk, "ann");
    let lost = 0;
    await intercept(page, "**/review/decisions", async (route) => {
      const answer = await route.fetch();
      if (lost++ > 0) return route.fulfill({ response: answer });
      await route.abort();
    });
    await show(page);
    await page.getByText("✓ shown").waitFor();
    expect(lost).toBe(2);
    expect(await decided(desk)).toHaveLength(1);
  });

  test("a server that is away is waited for", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await desk.stop();
    await page.keyboard.press("h");
    await page.getByText("1 decision on the way.").waitFor();
    await page.getByText("Offline").waitFor();
    await desk.start();
    await page.getByText("✓ hidden").waitFor();
    expect(await decided(desk)).toMatchObject([{ by, verdict: "hidden" }]);
  });

  test("an answer that never comes is not waited for for ever", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await page.clock.install();
    await page.reload();
    await looked(page);
    // the first is never answered
    await intercept(page, "**/review/decisions", () => {}, { times: 1 });
    await page.keyboard.press("h");
    await page.getByText("… hidden").waitFor();
    await page.clock.fastForward(61_000);
    await page.getByText("1 decision on the way.").waitFor();
    await page.clock.fastForward(2_000);
    await page.getByText("✓ hidden").waitFor();
    expect(await decided(desk)).toMatchObject([{ by, verdict: "hidden" }]);
  });

  test("behind a proxy the page hears of its server again, though it was refused while that started", async ({
    desk,
  }) => {
    const proxy = await startProxy(desk.url);
    onTestFinished(proxy.close);
    const page = await desk.open("ann", { at: proxy.url });
    await looked(page);
    await desk.stop();
    await page.keyboard.press("h");
    await page.getByText("Offline").waitFor();
    // the stream itself was refused, which no browser tries again by itself
    await expect.poll(() => proxy.refused, { timeout: 20_000 }).toContain("/desk/api/live");
    await desk.start();
    await page.getByText("✓ hidden").waitFor();
    await page.getByText("Offline").waitFor({ state: "detached" });
    // and what waits is told again
    await desk.db.pool.query(
      "update photos set state = 'review', rule = 'category-uncertain' where state = 'shown'",
    );
    await page.getByRole("button", { name: /^Category\?\s+[1-9]/ }).waitFor();
  });

  test("what a proxy refuses, and the server never saw, is sent again", async ({ desk }) => {
    const page = await opened(desk, "ann");
    // as an ingress says while it knows no way to the server
    const body = "default backend - 404";
    await intercept(page, "**/review/decisions", (route) => route.fulfill({ status: 404, body }));
    await page.keyboard.press("h");
    await page.getByText("1 decision on the way.").waitFor();
    await page.unroute("**/review/decisions");
    await page.getByText("✓ hidden").waitFor();
    expect(await decided(desk)).toMatchObject([{ by, verdict: "hidden" }]);
  });

  test("a proxy that holds back what is streamed keeps no figures from the page", async ({ desk }) => {
    const proxy = await startProxy(desk.url, { buffers: true });
    onTestFinished(proxy.close);
    const page = await desk.open("ann", { at: proxy.url });
    await page.getByRole("button", { name: /^Verify\s+[1-9]/ }).waitFor();
    await page.getByRole("link", { name: "Operate" }).click();
    await page.getByRole("heading", { name: "Uploads" }).waitFor();
    expect(desk.complaints).toEqual([]);
  });

  test("tabs that nobody sees leave connections to those that are seen", async ({ desk }) => {
    const page = await opened(desk, "ann");
    for (let n = 0; n < 8; n++) {
      const hidden = await page.context().newPage();
      await hidden.addInitScript(() => Object.defineProperty(document, "hidden", { get: () => true }));
      await hidden.goto(`${desk.url}/desk/search`);
      await hidden.locator(".card").first().waitFor();
    }
    await show(page);
    await page.getByText("✓ shown").waitFor();
  });

  test("what was decided is never sent as somebody else who signed in meanwhile in another tab", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann");
    // in no tab of hers
    await intercept(page.context(), "**/review/decisions", (route) => route.abort());
    await page.keyboard.press("h");
    await page.getByText("1 decision on the way.").waitFor();
    const other = await page.context().newPage();
    await other.goto(`${desk.url}/desk/search`);
    const signIn = async (tab: Page, name: string): Promise<void> => {
      const { token } = await desk.token(name, ["review"]);
      await tab.getByLabel("Token").fill(token);
      await tab.keyboard.press("Enter");
      await tab.getByRole("navigation").waitFor();
    };
    const who = (tab: Page, name: string) => tab.locator("#person b", { hasText: name });
    const leave = async (tab: Page): Promise<void> => {
      await tab.getByRole("button", { name: "You, and the theme" }).click();
      await tab.getByRole("button", { name: "Sign out" }).click();
    };
    // her own tab learns late of who signs in
    await intercept(page, "**/api/live*", () => {});
    await intercept(page, "**/api/session", () => {});
    await leave(other);
    await other.getByText("1 decision of ann is kept in this browser").waitFor();
    await signIn(other, "bob");
    const refused = page.waitForResponse("**/review/decisions");
    await page.context().unroute("**/review/decisions");
    await page.getByRole("button", { name: "Send now" }).click();
    expect((await refused).status()).toBe(401);
    await page.unroute("**/api/session");
    await page.reload();
    await who(page, "bob").waitFor({ state: "attached" });
    expect(await decided(desk)).toEqual([]);
    await leave(page);
    await signIn(page, "ann");
    await expect.poll(() => decided(desk)).toMatchObject([{ by, verdict: "hidden" }]);
  });

  test("when the session was revoked, signing in again delivers what was decided meanwhile", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann");
    await intercept(page, "**/review/decisions", (route) => route.abort());
    await show(page);
    await page.getByText("1 decision on the way.").waitFor();
    await desk.db.pool.query("select end_session(id, 'root', 'revoked') from desk_sessions");
    await page.unroute("**/review/decisions");
    await page.getByLabel("Token").waitFor();
    expect(await decided(desk)).toEqual([]);
    const { token } = await desk.token("ann", ["review"]);
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await expect.poll(() => decided(desk)).toMatchObject([{ by }]);
  });

  test("a photo that another moderator holds is theirs to decide, which is said plainly", async ({
    desk,
  }) => {
    const ann = await opened(desk, "ann");
    const link = await ann.locator(".inspector-name a").getAttribute("href");
    const bob = await desk.open("bob", { path: link! });
    await bob.getByRole("button", { name: "Hide: other" }).click();
    await bob.getByText("you decided hidden, but ann holds it").waitFor();
    await bob.getByText("Your decision did not count.").waitFor();
    expect(await decided(desk)).toEqual([]);
    await bob.getByRole("button", { name: "Understood" }).click();
    await bob.getByRole("heading", { name: "1 decision did not count" }).waitFor({ state: "detached" });
  });

  test("many decisions that did not count are seen as such, and put away at once", async ({ desk }) => {
    const ann = await opened(desk, "ann");
    await intercept(ann.context(), "**/review/decisions", (route) => route.abort());
    for (let n = 0; n < 3; n++) await show(ann);
    await ann.getByText("3 decisions on the way.").waitFor();
    await desk.db.pool.query("update review_claims set moderator = 'bob', until = now() + interval '1 hour'");
    await ann.context().unroute("**/review/decisions");
    await ann.getByRole("heading", { name: "3 decisions did not count" }).waitFor();
    const notice = ann.getByRole("region", { name: "Decisions that did not count" });
    await Promise.all([
      // it stands there for two seconds
      notice.getByText("A double click counts once").waitFor(),
      // below the first the next comes up, which nobody has read
      ann.getByRole("button", { name: "Understood", exact: true }).first().dblclick(),
    ]);
    await ann.getByRole("heading", { name: "2 decisions did not count" }).waitFor();
    await ann.getByRole("button", { name: "All understood" }).click();
    await ann.getByRole("heading", { name: /did not count/ }).waitFor({ state: "detached" });
    await ann.reload();
    await ann.getByText("Nothing waits for you").waitFor();
    expect(await ann.getByRole("heading", { name: /did not count/ }).count()).toBe(0);
  });

  test("what was chosen for one photo is not there for the next that is looked at", async ({ desk }) => {
    const ann = await opened(desk, "ann");
    const link = await ann.locator(".inspector-name a").getAttribute("href");
    const bob = await desk.open("bob", { path: link! });
    await bob.getByRole("button", { name: "Hide: other" }).click();
    const notice = bob.getByRole("region", { name: "Decisions that did not count" });
    await notice.waitFor();
    const { rows } = await desk.db.pool.query("select id, key from photos where key = 'menu-1.jpg'");
    await bob.goto(`${desk.url}/desk/photos/${rows[0].id}`);
    await bob.getByRole("heading", { name: rows[0].key }).waitFor();
    await bob.getByLabel("Category").selectOption("menu");
    await intercept(bob, `**${link!.replace("/desk/", "/desk/api/")}`, () => {});
    await notice.getByRole("link").click();
    await bob.waitForURL(`**${link}`);
    // nothing of the one before is left to be decided by mistake
    await bob.getByRole("heading", { name: "One moment" }).waitFor();
    await bob.unroute(`**${link!.replace("/desk/", "/desk/api/")}`);
    await bob.goBack();
    expect(await bob.getByLabel("Category").inputValue()).toBe("");
  });

  test("when another decided meanwhile, both are told apart, and the last word is a person's", async ({
    desk,
  }) => {
    const ann = await opened(desk, "ann");
    const link = await ann.locator(".inspector-name a").getAttribute("href");
    // nor does she ask again for what she has, which bob is to decide
    const away = /\/review\/(decisions|claims|claims\/renew)$/;
    await intercept(ann, away, (route) => route.abort());
    await show(ann);
    await ann.getByText("1 decision on the way.").waitFor();
    // as if her lease had ended
    await desk.db.pool.query("delete from review_claims");
    const bob = await desk.open("bob", { path: link! });
    await bob.getByRole("button", { name: "Hide: human" }).click();
    await expect.poll(() => decided(desk)).toHaveLength(1);
    await ann.unroute(away);
    await ann.getByText("you decided shown, but bob decided it meanwhile: it is hidden").waitFor();
    // what is pressed once more, as if it had not been heard, overrules nobody
    const card = ann.locator(".card.failed");
    await card.click();
    for (const key of ["s", "2"]) await ann.keyboard.press(key);
    await ann.getByRole("status").getByText("no key decides it again").waitFor();
    expect(await kept(ann)).toBe(1);
    expect(await decided(desk)).toHaveLength(1);
    // it is seen as it is now
    const inspector = ann.getByRole("complementary");
    await inspector.getByText("Decided by bob.").waitFor();
    await inspector.getByText("bob decided it meanwhile: it is hidden").waitFor();
    expect(await card.getAttribute("aria-label")).toMatch(/hidden$/);
    expect(await violations(ann)).toEqual([]);
    await inspector.getByRole("button", { name: "Decide it my way" }).focus();
    await ann.keyboard.press("Enter");
    await ann.getByRole("heading", { name: "1 decision did not count" }).waitFor({ state: "detached" });
    await expect
      .poll(() => decided(desk))
      .toMatchObject([
        { by: "moderator:bob", verdict: "hidden" },
        { by, verdict: "shown" },
      ]);
  });

  test.extend({ copies: 2 })(
    "when another hid a copy meanwhile, that is said before it is shown, and once",
    async ({ desk }) => {
      const { rows } = await desk.db.pool.query(
        "select id from photos where key in ('menu-1.jpg', '1-menu-1.jpg') order by id",
      );
      const pages = rows.map(({ id }) => `/desk/photos/${id}`);
      const ann = await desk.open("ann", { path: pages[0]! });
      const bob = await desk.open("bob", { path: pages[1]! });
      await bob.getByRole("button", { name: "Hide: human" }).click();
      await expect.poll(() => decided(desk)).toHaveLength(1);
      const shows = ann.getByRole("button", { name: "Show", exact: true });
      await shows.click();
      await ann.getByText("bob hid the same bytes meanwhile, as another photo").first().waitFor();
      await ann.getByText(`bob hid the same bytes: photo ${rows[1].id}`).first().waitFor();
      expect(await decided(desk)).toHaveLength(1);
      await shows.click();
      await expect
        .poll(() => decided(desk))
        .toMatchObject([
          { by: "moderator:bob", verdict: "hidden" },
          { by, verdict: "shown" },
        ]);
    },
  );

  test("a photo that was withdrawn meanwhile is not decided, which is said", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await desk.db.pool.query("update photos set superseded_at = now()");
    await page.keyboard.press("h");
    await page.getByText(/you decided hidden, but its object was replaced or removed meanwhile/).waitFor();
    await page.locator(".card.failed").getByText("withdrawn", { exact: true }).waitFor();
    expect(await decided(desk)).toEqual([]);
  });

  test("what oneself did in another tab is told as that", async ({ desk }) => {
    const page = await opened(desk, "ann");
    const other = await page.context().newPage();
    await page.keyboard.press("h");
    await page.getByText("✓ hidden").first().waitFor();
    const { rows } = await desk.db.pool.query("select photo_id from review_decisions");
    await other.goto(`${desk.url}/desk/photos/${rows[0].photo_id}`);
    await other.getByRole("button", { name: /^Show .*, which is hidden/ }).click();
    await other.getByRole("button", { name: "Show", exact: true }).dblclick();
    await other.getByText("The server has your decision: shown.").waitFor();
    expect(await decided(desk)).toHaveLength(2);
    await page.keyboard.press("u");
    await page
      .getByText("it cannot be taken back, because you decided it again meanwhile: it is shown")
      .waitFor();
  });
});
