import { describe, expect } from "vitest";
import { until } from "../waits.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, intercept, test } from "./desk.ts";
import { violations } from "./look.ts";
import { inHand, names, opened, reviews } from "./reviewing.ts";

const passes = async ({ db }: Desk) =>
  (
    await db.pool.query(
      `select p.key, s.who, p.state from review_passes s join photos p on p.id = s.photo_id
        where s.undone_at is null order by s.passed_at`,
    )
  ).rows;

describe.skipIf(!CHROMIUM)("who is not sure of a photo", { timeout: 120_000 }, () => {
  test("leaves it to another, whose card says so, and may take that back", async ({ desk }) => {
    const ann = await opened(desk);
    const [first, second, third] = await names(ann);
    await ann.keyboard.press("2");
    await ann.keyboard.press("n");
    expect(await inHand(ann)).toContain(second);
    await ann.getByText("✓ not sure").waitFor();
    await ann.getByRole("status").getByText(`${first} not sure`).waitFor({ state: "attached" });
    await ann.getByRole("button", { name: "Not sure" }).click();
    expect(await inHand(ann)).toContain(third);
    const rows = await until(
      () => passes(desk),
      (found) => found.length === 2,
    );
    expect(rows).toMatchObject([
      { key: first, who: "ann" },
      { key: second, who: "ann" },
    ]);
    // what somebody was sure of is no longer left to others
    await ann.keyboard.press("h");
    await ann.keyboard.press("k");
    await ann.keyboard.press("n");
    await ann.locator(".actions").getByText("You decided it already: take that back first").waitFor();

    const bob = await opened(desk, "bob");
    const card = bob.locator(`.card[aria-label^="${first},"]`);
    await card.getByText("1 not sure").waitFor();
    expect(await card.getAttribute("aria-label")).toContain(", 1 not sure, ");
    await bob.locator(".inspector").getByText("1 moderator").waitFor();
    expect(await names(bob)).toEqual(expect.arrayContaining([first, second]));
    expect(await violations(bob)).toEqual([]);

    await ann.keyboard.press("u");
    await ann.keyboard.press("u");
    expect(await inHand(ann)).toContain(second);
    await expect.poll(() => passes(desk)).toHaveLength(1);
    expect(await reviews(desk)).toEqual([]);
    expect(desk.complaints).toEqual([]);
  });

  test("is kept in the browser while the network is away, and counts once it is back", async ({ desk }) => {
    const page = await opened(desk);
    const [first, second, third] = await names(page);
    await page.context().setOffline(true);
    for (const key of ["n", "h", "n", "u"]) await page.keyboard.press(key);
    await page.getByText("4 decisions on the way.").waitFor();
    await page.context().setOffline(false);
    await expect
      .poll(() =>
        page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(".act.")).length),
      )
      .toBe(0);
    expect(await passes(desk)).toMatchObject([{ key: first }]);
    expect(await reviews(desk)).toMatchObject([{ key: second, verdict: "hidden" }]);
    expect(await inHand(page)).toContain(third);
    await page.locator(`.card[aria-label^="${first},"]`).click();
    await page.locator(".actions a").getByText("Left to another by you").click();
    await page.locator(".history").getByText("ann left it to another moderator").waitFor();
  });

  test("says so once more where it was taken back elsewhere before its answer came", async ({ desk }) => {
    const page = await opened(desk);
    const [first] = await names(page);
    await intercept(page.context(), "**/review/decisions", async (route) => {
      await route.fetch();
      await route.abort();
    });
    await page.keyboard.press("n");
    await page.getByText("1 decision on the way.").waitFor();
    await desk.db.pool.query("update review_passes set undone_at = now()");
    await page.context().unroute("**/review/decisions");
    await page
      .locator(".conflicts")
      .getByText("you were not sure, but you took that back meanwhile")
      .waitFor();
    await page.getByRole("button", { name: "I am still not sure" }).click();
    await until(
      () => passes(desk),
      (found) => found.length === 1 && found[0].key === first,
    );
    await page.locator(".conflicts").waitFor({ state: "detached" });
  });

  test("has it again after a day, is not told of themselves as of another, and finds what others doubt too", async ({
    desk,
  }) => {
    await desk.db.pool.query("update appeals set at = now() - interval '3 days'");
    await desk.db.pool.query(
      `insert into review_passes (id, photo_id, who, verdict_id, passed_at)
        select gen_random_uuid(), p.id, d.who, (select max(v.id) from verdicts v where v.photo_id = p.id), now() - interval '2 days'
        from photos p, unnest(array['ann', 'bob', 'cat']) d (who)
        where d.who = 'ann' or p.key like 'menu-%' or (d.who = 'bob' and p.key = 'business-intro.jpg')`,
    );
    const page = await opened(desk);
    const [first] = await names(page);
    const said = async (key: string) => page.locator(`.card[aria-label^="${key},"] .kind`).innerText();
    expect(await said(first!)).toContain("You were not sure");
    expect(await said("menu-1.jpg")).toContain("You and 2 more not sure");
    await page.locator(".inspector-facts").getByText("you", { exact: true }).waitFor();
    await page.keyboard.press("z");
    await page.getByRole("dialog").getByText("You were not sure.").waitFor();
    expect(await violations(page)).toEqual([]);

    await page.goto(`${desk.url}/desk/search`);
    const found = () => page.locator(".search-results .result-name").allInnerTexts();
    await page.locator('select[name="unsure"]').selectOption("two or more");
    await expect
      .poll(async () => (await found()).sort())
      .toEqual(["business-intro.jpg", "menu-1.jpg", "menu-2.jpg"]);
    expect(new URL(page.url()).search).toBe("?unsure=2");
    await page.locator(".card").getByText("You and 1 more not sure").waitFor();
    await page.goto(`${desk.url}/desk/search?verdict=failed&unsure=2`);
    await page
      .getByRole("alert")
      .getByText("Not filtered by verdict: the address may have key, listing,")
      .waitFor();
    await expect.poll(async () => (await found()).length).toBe(3);
    expect(await violations(page)).toEqual([]);
    expect(desk.complaints).toEqual([]);
  });

  test("is told that the photo waits where nobody else is there", async ({ desk }) => {
    const page = await opened(desk);
    const many = (await names(page)).length;
    await page.keyboard.press("a");
    await page.keyboard.press("n");
    await page.getByText(`All done, but for ${many} photos that you left to others.`).waitFor();
    await page.getByText("What you were not sure of comes again after a day").waitFor();
    expect(await passes(desk)).toHaveLength(many);
    await page.reload();
    await page.getByRole("heading", { name: "Nothing waits for you" }).waitFor();
    await page.keyboard.press("u");
    await expect.poll(() => passes(desk)).toHaveLength(0);
    await expect.poll(() => page.locator(".card:not(.decided)").count()).toBe(many);
  });
});
