import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Locator } from "playwright-core";
import { describe, expect, inject, onTestFinished } from "vitest";
import { maitred } from "../maitred.ts";
import { until } from "../waits.ts";
import { troubled } from "../watched.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, looked, NARROW, show, test } from "./desk.ts";
import { inHand, names } from "./reviewing.ts";

const idOf = async ({ db }: Desk, key: string): Promise<string> =>
  (await db.pool.query("select id from photos where key = $1", [key])).rows[0].id;
const reviewed = ({ db }: Desk) =>
  db.pool.query("select verdict, category from review_decisions where undone_at is null order by at");

describe.skipIf(!CHROMIUM)("whoever uses the desk for the first time", { timeout: 120_000 }, () => {
  test("reads in the tab which page it is, and how many photos wait", async ({ desk }) => {
    const page = await desk.open("ann", { scopes: ["review", "operate"] });
    const title = () => page.title();
    const { rows } = await desk.db.pool.query(`select (select count(*) from photos where state = 'review')
      + (select count(*) from appeals) as n`);
    await expect.poll(title).toBe(`(${rows[0].n}) Review · maitred`);
    for (const name of ["Search", "Operate", "Dashboards", "Access"]) {
      await page.getByRole("link", { name, exact: true }).click();
      await expect.poll(title).toBe(`${name} · maitred`);
    }
    await page.goto(`${desk.url}/desk/photos/${await idOf(desk, "menu-1.jpg")}`);
    await expect.poll(title).toBe("menu-1.jpg · maitred");
    await page.context().clearCookies();
    await page.goto(`${desk.url}/desk/`);
    await expect.poll(title).toBe("Sign in · maitred");
  });

  test("reads that there are no photos, and is not asked to take away filters that there are not", async ({
    desk,
  }) => {
    await desk.db.pool.query("delete from photos");
    const page = await desk.open("ann");
    await page.getByText("Nothing waits for you").waitFor();
    await page.getByRole("link", { name: "Search" }).click();
    await page.getByText("No photo is there now").waitFor();
    await page.goto(`${desk.url}/desk/search?state=hidden`);
    await page.getByText("Take a filter away").waitFor();
  });

  test("sees as many photos waiting as there are, those in their own hand included", async ({ desk }) => {
    // five, which are too few to share them out
    await desk.db.pool.query(`update photos set superseded_at = now()
      where id in (select photo_id from appeals order by photo_id offset 2)`);
    const page = await desk.open("ann");
    await looked(page);
    const words = await page.getByRole("heading", { name: /in hand/ }).innerText();
    const [, mine] = /(\d+) in hand/.exec(words)!;
    const all = page.getByRole("button", { name: /^All/ });
    await expect.poll(() => all.innerText()).toMatch(new RegExp(`^All\\s+${mine}$`));
    // and it stays so once the server counts again
    const { rowCount } = await desk.db.pool.query("select from review_claims");
    expect(String(rowCount)).toBe(mine);
    const answer = await page.request.get(`${desk.url}/desk/api/review/queue`);
    const { kinds } = (await answer.json()) as { kinds: Record<string, number> };
    expect(Object.values(kinds).reduce((sum, each) => sum + each, 0)).toBe(Number(mine));
    // whoever comes later is told where they are
    const later = await desk.open("bob");
    await later.getByRole("heading", { name: "Nothing waits for you" }).waitFor();
    await later.getByText(`${mine} photos wait, and none for you now: others have them`).waitFor();
    await later.getByText("of a page that is gone within 2 min.").waitFor();
  });

  test("begins to type in the field of the token", async ({ desk, browser }) => {
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    await page.goto(`${desk.url}/desk/`);
    await page.getByLabel("Token").waitFor();
    await page.keyboard.type("mtd_");
    expect(await page.getByLabel("Token").inputValue()).toBe("mtd_");
  });

  test("gets their share of a short list, and reads after the last of it how many others have in hand", async ({
    desk,
  }) => {
    const ann = await desk.open("ann");
    await looked(ann);
    const all = await names(ann);
    expect(all).toHaveLength(9);
    const bob = await desk.open("bob");
    const free = "Free for others: 4 photos from the end of your list";
    await ann.locator(".actions").getByText(free).waitFor();
    expect(await inHand(ann)).toContain(all[0]);
    await looked(bob);
    expect([await names(ann), await names(bob)]).toEqual([all.slice(0, 5), all.slice(5)]);
    for (let n = 0; n < 4; n++) await bob.keyboard.press("h");
    await bob.getByText("All done. 5 photos wait, and none for you now: others have them").waitFor();
    expect(desk.complaints).toEqual([]);
  });

  test("signs in with a link that they paste into a tab in which the sign-in is open", async ({
    desk,
    browser,
    folder,
  }) => {
    const up = maitred(["up", folder], {
      DATABASE_URL: desk.db.url,
      MAITRED_API_PORT: "0",
      MAITRED_MODEL: inject("idleModel"),
    });
    onTestFinished(async () => {
      up.child.kill("SIGTERM");
      await up.exit;
    });
    await up.says("/desk/#link=");
    const [, link] = /within the hour: (\S+)/.exec(up.stderr())!;
    const page = await browser.newPage();
    onTestFinished(() => page.close());
    await page.goto(link!.replace(/#.*/, ""));
    await page.getByLabel("Token").waitFor();
    await page.evaluate((address) => location.assign(address), link!);
    await page.getByRole("navigation").waitFor();
    expect(new URL(page.url()).hash).toBe("");
    // once: whoever is signed in already stays so, and is told
    await page.goto(link!.replace("/desk/", "/desk/search"));
    await page.getByText(/You stay signed in as before: the link was used/).waitFor();
    await page.getByRole("button", { name: "Understood" }).click();
    await page.locator(".card").or(page.getByText("No photo is like that")).first().waitFor();
  });

  test("gives no category by taking back and deciding anew", async ({ desk }) => {
    const page = await desk.open("ann");
    await looked(page);
    const first = await inHand(page);
    await page.keyboard.press("3");
    await show(page);
    await expect.poll(() => inHand(page)).not.toBe(first);
    await page.keyboard.press("u");
    const [name] = first!.split(",");
    await expect.poll(() => inHand(page)).toContain(name);
    // where the list came anew since, the page lets nothing be decided for a second
    await until(
      async () => {
        await show(page);
        return inHand(page);
      },
      (now) => !now?.includes(name!),
    );
    await expect.poll(() => reviewed(desk)).toMatchObject({ rowCount: 1 });
    expect(
      (
        await until(
          () =>
            desk.db.pool.query(
              "select category, undone_at is null as counts from review_decisions order by at",
            ),
          ({ rowCount }) => rowCount === 2,
        )
      ).rows,
    ).toEqual([
      { category: "menu", counts: false },
      { category: null, counts: true },
    ]);
  });

  test("does not see, unasked, what a moderator hid for a human, and reads once who it was", async ({
    desk,
  }) => {
    const id = await idOf(desk, "menu-1.jpg");
    const page = await desk.open("ann", { path: `/desk/photos/${id}` });
    await page.getByLabel("Category").selectOption("food");
    await page.getByRole("button", { name: "Hide: human" }).click();
    await page.getByText("The server has your decision: hidden.").waitFor();
    const veil = page.getByRole("button", { name: "Show menu-1.jpg, which is hidden for a human" });
    await veil.waitFor();
    const facts = page.locator(".photo-facts");
    await facts.getByText("A human was seen").waitFor();
    const said = await facts.innerText();
    expect(said.match(/by ann/g)).toHaveLength(2);
    expect(said).toMatch(/Decided by ann\./);
    expect(said).toMatch(/food, by ann/);
    expect(said).not.toMatch(/\d at 0\.00|1\.00/);
    await page.goto(`${desk.url}/desk/search?key=menu-1.jpg`);
    await veil.waitFor();
    await page.locator(".card", { hasText: /food\s*by ann/ }).waitFor();
  });

  test("reads what was taken back as one would say it", async ({ desk }) => {
    const id = await idOf(desk, "menu-1.jpg");
    const page = await desk.open("ann");
    await looked(page);
    const taken = await inHand(page);
    await show(page);
    await expect.poll(() => reviewed(desk)).toMatchObject({ rowCount: 1 });
    await page.keyboard.press("u");
    await expect.poll(() => reviewed(desk)).toMatchObject({ rowCount: 0 });
    await page.goto(`${desk.url}/desk/photos/${await idOf(desk, taken!.split(",")[0]!)}`);
    const newest = page.locator(".history li").first();
    await newest.getByText(/again: taken back by/).waitFor();
    expect(await newest.innerText()).toMatch(/As it was before\. /);
    expect(await newest.innerText()).not.toMatch(/undo|taken back by ann:/);
    expect(id).toMatch(/\d/);
  });

  test("is told that a photo was withdrawn, finds those, and is not asked to decide them", async ({
    desk,
  }) => {
    const id = await idOf(desk, "menu-1.jpg");
    await desk.db.pool.query("update photos set superseded_at = now() where id = $1", [id]);
    const page = await desk.open("ann", { path: "/desk/search", scopes: ["review", "operate"] });
    await page.getByLabel("Object").selectOption("no");
    await page.getByText("That is all: 1 photo.").waitFor();
    expect(new URL(page.url()).search).toBe("?current=no");
    await page.locator(".card", { hasText: "withdrawn" }).getByRole("link").click();
    await page.getByText(/withdrawn, was/).waitFor();
    await page.getByRole("button", { name: "Forget…" }).waitFor();
    expect(await page.getByRole("button", { name: /^(Show|Hide|Judge again)/ }).count()).toBe(0);
  });

  test("reads why a photo cannot be shown, and is not led to show it", async ({ desk, judged }) => {
    const broken = join(judged.photos, "broken.jpg");
    writeFileSync(broken, "no photo");
    // other files look at the same folder
    onTestFinished(() => rmSync(broken));
    const { rows } = await desk.db.pool.query(
      `insert into photos (store, bucket, key, state, failure, reason, decided_at)
        values ('folder', $1, 'broken.jpg', 'failed', 'CORRUPT', 'it ends too early', now()) returning id`,
      [judged.photos],
    );
    const page = await desk.open("ann", { path: "/desk/search?state=failed" });
    const problem = page.locator(".picture-problem");
    await problem.getByText(/UNSUPPORTED_FORMAT/).waitFor();
    await page.goto(`${desk.url}/desk/photos/${rows[0].id}`);
    await problem.getByText(/UNSUPPORTED_FORMAT/).waitFor();
    expect(await page.locator(".picture img").count()).toBe(0);
    const colour = (button: Locator): Promise<string> =>
      button.evaluate((each) => getComputedStyle(each).backgroundColor);
    const show = page.getByRole("button", { name: "Show", exact: true });
    expect(await colour(show)).toBe(await colour(page.getByRole("button", { name: "Hide: other" })));
  });

  test("has every page and table within a narrow screen, and the page they are on in view", async ({
    desk,
  }) => {
    await troubled(desk.db);
    const page = await desk.open("ann", {
      viewport: NARROW,
      scopes: ["review", "operate"],
      path: "/desk/access",
    });
    const fits = async (what: Locator): Promise<void> => {
      await what.waitFor();
      const { has, of } = await what.evaluate(({ clientWidth, scrollWidth }) => ({
        has: clientWidth,
        of: scrollWidth,
      }));
      expect(of).toBeLessThanOrEqual(has);
    };
    await fits(page.getByRole("navigation"));
    await page.getByRole("link", { name: "Access" }).click();
    const { x, width } = (await page.locator("nav [aria-current]").boundingBox())!;
    expect([x >= 0, x + width <= NARROW.width]).toEqual([true, true]);
    await page.getByText("this one").waitFor();
    await fits(page.getByRole("region", { name: "Table of sessions" }));
    await fits(page.getByRole("region", { name: "Table of entries" }));
    await page.goto(`${desk.url}/desk/operate`);
    await fits(page.getByRole("region", { name: "Workers" }));
    // the page at its very bottom: nothing of it is behind the edge
    await page.setViewportSize({ width: 320, height: 640 });
    await page.goto(`${desk.url}/desk/access`);
    await page.locator("nav [aria-current]").waitFor();
    await expect
      .poll(async () => (await page.locator("nav [aria-current]").boundingBox())!.x)
      .toBeLessThan(260);
  });

  test("reads the log of who did what as sentences", async ({ desk }) => {
    const page = await desk.open("ann", { scopes: ["review", "operate"] });
    await looked(page);
    await page.keyboard.press("2");
    await page.keyboard.press("h");
    await expect.poll(() => reviewed(desk)).toMatchObject({ rowCount: 1 });
    await page.getByRole("link", { name: "Access" }).click();
    const log = page.getByRole("region", { name: "Table of entries" });
    await log.getByText(/^decided hidden: a human is visible \(ambience, was /).waitFor();
    await log.getByText(/^signed in with token [0-9a-f]{12}, as /).waitFor();
  });

  test("keeps nobody signed in by a page that nobody uses", async ({ desk }) => {
    const page = await desk.open("ann");
    const next = (): Promise<string | undefined> =>
      page.waitForRequest("**/review/throughput").then((request) => request.headers()["x-maitred-desk"]);
    // what that page was to ask for is not taken for what the next one does
    await page.goto("about:blank");
    await page.clock.install();
    await Promise.all([next(), page.goto(`${desk.url}/desk/review`)]);
    const [unused] = await Promise.all([next(), page.clock.fastForward(130_000)]);
    expect(unused).toBe("idle");
    await page.clock.fastForward(30_000);
    await page.keyboard.press("j");
    // asked once a minute, and a page is unused after as long
    const [used] = await Promise.all([next(), page.clock.fastForward(59_000)]);
    expect(used).toBe("1");
  });
});

describe.skipIf(!CHROMIUM)("a chart", { timeout: 120_000 }, () => {
  test("of a single day draws it", async ({ desk }) => {
    const today = new Date().toISOString().slice(0, 10);
    const page = await desk.open("vic", {
      path: `/desk/dashboards?from=2026-01-01&to=${today}`,
      scopes: ["read"],
    });
    // a share, which there is none of on the other days
    const chart = page.locator("figure", { has: page.getByRole("heading", { name: "Hidden for a human" }) });
    await chart.locator("canvas").waitFor();
    const drawn = await chart.locator("canvas").evaluate((each) => {
      const canvas = each as HTMLCanvasElement;
      const probe = document.body.appendChild(document.createElement("i"));
      probe.style.color = "var(--series-1)";
      const [r, g, b] = getComputedStyle(probe).color.match(/\d+/g)!.map(Number);
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      let pixels = 0;
      for (let at = 0; at < data.length; at += 4) {
        if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255) pixels++;
      }
      return pixels;
    });
    expect(drawn).toBeGreaterThan(10);
  });
});
