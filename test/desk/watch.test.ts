import type { Page } from "playwright-core";
import { describe, expect, inject, onTestFinished } from "vitest";
import { ended, maitred } from "../maitred.ts";
import { until } from "../waits.ts";
import { judgedOverTime, troubled } from "../watched.ts";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, intercept, NARROW, test, WIDE } from "./desk.ts";
import { cutOff, overflowOf, shoot, violationsInBoth } from "./look.ts";

const today = (): string => new Date().toISOString().slice(0, 10);
const opened = async (page: Page): Promise<void> =>
  page.getByRole("heading", { name: "Backfills" }).waitFor();

/** As dashboards count them, there are five thousand times as many photos. */
async function manyMore({ db }: Desk): Promise<void> {
  for (const counts of ["rollup_hours", "rollup_hours_changes", "rollup_days"]) {
    await db.pool.query(`update ${counts} set photos = photos * 5000`);
  }
}

/** A real worker beside the desk, until the test ends; answers how to have it judge a photo of the folder. */
async function startWorker({ db }: Desk, folder: string): Promise<(key: string) => Promise<void>> {
  const env = {
    DATABASE_URL: db.url,
    MAITRED_FOLDERS: folder,
    MAITRED_MODEL: inject("idleModel"),
    MAITRED_PROVIDER: "cpu",
    MAITRED_PATIENCE_MS: "0",
    MAITRED_ATTEMPTS: "1",
  };
  const worker = maitred(["worker"], env);
  onTestFinished(async () => {
    worker.child.kill("SIGTERM");
    await worker.exit;
  });
  await worker.says("taking photos");
  return async (key) => {
    const { code, err } = await ended(["enqueue", "--again", `${folder}/${key}`], env);
    expect(code, err).toBe(0);
  };
}

describe.skipIf(!CHROMIUM)("operate", { timeout: 180_000 }, () => {
  test("shows the worker that runs, what waits and what failed, and keeps itself up to date", async ({
    desk,
    judged,
  }) => {
    // of a worker before, which judged the samples
    await desk.db.pool.query("delete from model_workers");
    const enqueue = await startWorker(desk, judged.photos);
    const page = await desk.open("vic", { path: "/desk/operate", scopes: ["read"] });
    await opened(page);
    const workers = page.getByRole("region", { name: "Workers" });
    await workers.getByText("CPU").first().waitFor();
    await enqueue("menu-1.jpg");
    // what the real worker says of itself travels through Postgres
    await expect
      .poll(() => page.getByRole("listitem").filter({ hasText: "decode" }).count(), { timeout: 60_000 })
      .toBe(1);
    expect(await page.getByText("No photo has failed.").count()).toBe(1);
    const { backfill } = await troubled(desk.db);
    // how much is read of a prefix nobody knows, unless somebody says how much there is
    const bar = page.getByRole("progressbar", { name: `Judged of backfill ${backfill}` });
    const position = () => bar.evaluate((at) => (at as HTMLProgressElement).position);
    expect(await position()).toBe(-1);
    await desk.db.pool.query("update backfills set expected = 6 where id = $1", [backfill]);
    await expect.poll(position, { timeout: 20_000 }).toBeCloseTo(1 / 3);
    await page.getByText("50 % read, ").waitFor();
    // what is proposed is nobody's verdict yet
    const proposed = page.getByText(/other verdicts? proposed/);
    expect(await proposed.count()).toBe(1);
    await desk.db.pool.query("update backfills set propose = true where id = $1", [backfill]);
    await expect.poll(() => proposed.count(), { timeout: 20_000 }).toBe(2);
    const row = page.getByRole("region", { name: "Failures" }).getByRole("row", { name: "CORRUPT" });
    await row.getByText("4").waitFor();
    await page
      .getByRole("row", { name: /^photos\/2026/ })
      .getByText("7")
      .first()
      .waitFor();
    // who may only look finds nothing to press
    expect(await page.locator("main button").count()).toBe(0);
    expect(await page.getByRole("link", { name: "The queue's own view" }).count()).toBe(0);
    expect(desk.complaints).toEqual([]);
  });

  test("an operator does everything with the keyboard, and it is written down", async ({ desk, judged }) => {
    const { backfill } = await troubled(desk.db);
    const page = await desk.open("oda", { path: "/desk/operate", scopes: ["operate"] });
    await opened(page);
    const press = async (name: string | RegExp): Promise<void> => {
      await page.getByRole("button", { name }).first().focus();
      await page.keyboard.press("Enter");
    };
    await press(`Pause… backfill ${backfill}`);
    await page.getByLabel("Why").waitFor();
    await page.keyboard.press("Enter");
    expect(await page.getByRole("dialog").count()).toBe(1);
    await page.keyboard.type("the store is slow");
    await page.keyboard.press("Enter");
    await page.getByText("oda: the store is slow").waitFor();
    await press(`Resume backfill ${backfill}`);
    await page.getByText(`Backfill ${backfill} is running.`).first().waitFor();

    await press("Pause… the lane backfill");
    await page.keyboard.type("the archive is moved");
    await page.keyboard.press("Enter");
    await page.getByText(/^oda, .*: the archive is moved$/).waitFor();
    await press("Resume the lane backfill");
    await page.getByText("The lane backfill is running.").first().waitFor();

    await press(/^Send all again/);
    await page.getByText("1 delivery to 3f9c2a71b0d4 is tried again.").first().waitFor();
    await press(/^Replay message 1/);
    await page.getByText("message 1 failed again: EVENT_INVALID").waitFor();
    await press(/^Show message 1/);
    await page.getByRole("dialog").getByText("hello").waitFor();
    await page.keyboard.press("Escape");
    await press(/^Discard message 1/);
    await page.getByText("Message 1 was discarded.").first().waitFor();
    await press(/^Replay message 2/);
    await page.getByText("Message 2 was replayed: 1 photo.").first().waitFor();
    await press("Judge again what failed with CORRUPT");
    await page
      .getByText(/photos that failed with CORRUPT wait to be judged again/)
      .first()
      .waitFor();

    const { rows } = await desk.db.pool.query(
      "select did from audit_log where who = 'oda' and did not like 'signed%' order by id",
    );
    expect(rows.map(({ did }) => did)).toEqual([
      "changed-backfill",
      "changed-backfill",
      "changed-lane",
      "changed-lane",
      "replayed-deliveries",
      "replayed-message",
      "discarded-message",
      "replayed-message",
      "replayed-failures",
    ]);
    await page.getByRole("link", { name: "Access" }).click();
    const log = page.getByRole("region", { name: "Table of entries" });
    await log.getByText(/^had \d+ photos that failed with CORRUPT judged again$/).waitFor();
    // a worker takes what was replayed: it is in no store, and fails for another reason
    await startWorker(desk, judged.photos);
    await until(
      async () =>
        (await desk.db.pool.query("select count(*)::int as n from photos where failure = 'CORRUPT'")).rows[0]
          .n,
      (n) => n === 0,
    );
    expect(desk.complaints).toEqual([]);
  });

  test("the queue's own view opens for an operator under a policy of its own", async ({ desk }) => {
    const page = await desk.open("oda", { path: "/desk/operate", scopes: ["operate"] });
    await opened(page);
    const [board] = await Promise.all([
      page.waitForEvent("popup"),
      page.getByRole("link", { name: "The queue's own view" }).click(),
    ]);
    await board.getByText("live", { exact: true }).first().waitFor();
    expect(new URL(board.url()).pathname).toMatch(/^\/desk\/bull/);
    // whoever kept its address signs in first, and comes back to it
    await board.context().clearCookies();
    await board.goto(`${desk.url}/desk/bull/queue/live`);
    const { token } = await desk.token("oda", ["operate"]);
    await board.getByLabel("Token").fill(token);
    await board.keyboard.press("Enter");
    await board.waitForURL(`${desk.url}/desk/bull/queue/live`);
    await board.getByText("live", { exact: true }).first().waitFor();
  });
});

describe.skipIf(!CHROMIUM)("dashboards", { timeout: 180_000 }, () => {
  test("count what tables hold, say so as tables too, and keep the days in the address", async ({ desk }) => {
    await judgedOverTime(desk.db, today());
    const page = await desk.open("vic", { path: "/desk/dashboards?days=7", scopes: ["read"] });
    const verdicts = page.locator("figure", { has: page.getByRole("heading", { name: "Verdicts" }) });
    await verdicts.locator("canvas").waitFor();
    await verdicts.getByText("As a table").click();
    const cells = verdicts.getByRole("table").last().locator("td");
    const sum = (await cells.allInnerTexts()).reduce(
      (total, text) => total + Number(text.replaceAll(/\D/g, "")),
      0,
    );
    const { rows } = await desk.db.pool.query(
      "select count(*)::int as n from photos where state <> 'pending' and decided_at >= $1::date - 6",
      [`${today()}T00:00:00Z`],
    );
    expect(sum).toBe(rows[0].n);

    await page.getByRole("link", { name: "30 days" }).click();
    await expect.poll(() => new URL(page.url()).search).toBe("?days=30");
    await page.getByRole("heading", { name: "Moderators and the model" }).waitFor();
    const precision = page.getByRole("row", { name: /precision\)/ }).first();
    await expect.poll(() => precision.innerText()).toMatch(/of \d/);
    await page.getByLabel("First day, UTC").fill("2020-01-01");
    await page.getByLabel("Last day, UTC").fill("2020-01-02");
    await page.keyboard.press("Enter");
    await page.getByText("Nothing in these days.").first().waitFor();
    expect(new URL(page.url()).search).toBe("?from=2020-01-01&to=2020-01-02");
    await page.reload();
    expect(await page.getByLabel("Last day, UTC").inputValue()).toBe("2020-01-02");
    // too long a time is no other time
    await page.getByLabel("Last day, UTC").fill("2026-01-02");
    await page.keyboard.press("Enter");
    await page.getByText("at most 400 days").first().waitFor();
    expect(new URL(page.url()).search).toBe("?from=2020-01-01&to=2026-01-02");
    await page.getByLabel("Up to twenty, with commas between").fill("7, 8");
    await page.keyboard.press("Enter");
    await page
      .getByRole("region", { name: "Photos of listings" })
      .getByRole("link", { name: "7" })
      .first()
      .waitFor();
    expect(desk.complaints).toEqual([]);
  });

  test("show no figures under other days than theirs", async ({ desk }) => {
    await judgedOverTime(desk.db, today());
    const page = await desk.open("vic", { path: "/desk/dashboards?days=30", scopes: ["read"] });
    const verdicts = page.locator("figure", { has: page.getByRole("heading", { name: "Verdicts" }) });
    const rows = verdicts.getByRole("table").last().locator("tbody tr");
    await verdicts.getByText("As a table").click();
    await rows.first().waitFor();
    const days = await rows.count();
    await intercept(page, "**/dashboards/counts*", () => {});
    await page.getByRole("link", { name: "7 days" }).click();
    await page.waitForURL("**/dashboards?days=7");
    expect(await rows.count()).toBe(days);
    await page.unroute("**/dashboards/counts*");
    await intercept(page, "**/dashboards/counts*", (route) => route.abort());
    await page.getByRole("link", { name: "90 days" }).click();
    await page.getByRole("alert").getByText("the server cannot be reached").waitFor();
    expect(await verdicts.count()).toBe(0);
    await page.unroute("**/dashboards/counts*");
    await page.getByRole("button", { name: "Try again" }).click();
    await verdicts.waitFor();
  });
});

describe.skipIf(!CHROMIUM)("charts", { timeout: 180_000 }, () => {
  test("write the figures of their axes whole, of a single day only that one, and values once asked", async ({
    desk,
  }) => {
    await judgedOverTime(desk.db, today());
    await manyMore(desk);
    const page = await desk.open("vic", { path: "/desk/search", scopes: ["read"] });
    const axes = await watchText(page);
    await page.goto(`${desk.url}/desk/dashboards?days=30`);
    const verdicts = page.locator("figure", { has: page.getByRole("heading", { name: "Verdicts" }) });
    await expect
      .poll(async () => (await axes()).map(({ text }) => text))
      .toEqual(expect.arrayContaining(["300,000"]));
    expect((await axes()).filter(({ left }) => left < 0)).toEqual([]);
    const sampleOf = (name: string): Promise<string> => {
      const marker = verdicts.locator(".u-series", { hasText: name }).locator(".u-marker");
      return marker.evaluate((each) => getComputedStyle(each).backgroundImage);
    };
    expect(await sampleOf("shown")).toBe("none");
    expect(await sampleOf("hidden")).toMatch(/^repeating-linear-gradient\(.* 12px\)$/);
    // what nobody asked for does not look as if it were missing
    expect(await verdicts.locator(".u-legend").textContent()).not.toContain("–");
    await verdicts.locator(".u-over").hover();
    await expect.poll(() => verdicts.locator(".u-legend").textContent()).toMatch(/shown\d+,000/);

    await page.goto(`${desk.url}/desk/dashboards?days=1`);
    const days = async (): Promise<string[]> =>
      (await axes()).filter(({ of }) => of.startsWith("Mean by day")).map(({ text }) => text);
    await expect.poll(days).toContain(today().slice(5));
    expect(new Set((await days()).filter((text) => /[-:]/.test(text)))).toEqual(new Set([today().slice(5)]));
  });
});

/** @returns what was written on canvases since the page was opened: in which figure, and how far from its left edge. */
async function watchText(page: Page): Promise<() => Promise<{ of: string; text: string; left: number }[]>> {
  await page.addInitScript(() => {
    const written: unknown[] = [];
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
      const of = this.canvas.closest("figure")?.querySelector("h2")?.textContent;
      const left = x - (this.textAlign === "right" ? this.measureText(text).width : 0);
      written.push({ of, text, left });
      fillText.call(this, text, x, y);
    };
    Object.assign(globalThis, { written });
  });
  return () => page.evaluate("written");
}

const STATES: Record<string, (page: Page, url: string) => Promise<void>> = {
  async operate(page, url) {
    await page.goto(`${url}/desk/operate`);
    await opened(page);
    await page.getByRole("listitem").filter({ hasText: "decode" }).waitFor();
    await page.getByText("1 dead delivery").click();
    await page.getByRole("region", { name: "Dead deliveries" }).waitFor();
  },
  async "operate, asked why"(page) {
    await page
      .getByRole("button", { name: /^Cancel…/ })
      .first()
      .click();
    await page.getByRole("dialog").waitFor();
  },
  async "a photo that others were told of"(page) {
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "42/told.jpg" }).click();
    await page.getByRole("heading", { name: "Told to others" }).waitFor();
  },
  async dashboards(page, url) {
    await page.goto(`${url}/desk/dashboards?days=30&listing=7,8`);
    await page.locator("canvas").nth(4).waitFor();
    await page.getByRole("region", { name: "Photos of listings" }).waitFor();
    await page.getByText("As a table").nth(2).click();
  },
  async "dashboards, nothing"(page, url) {
    await page.goto(`${url}/desk/dashboards?from=2020-01-01&to=2020-01-31`);
    await page.getByText("Nothing in these days.").first().waitFor();
  },
};

describe.skipIf(!CHROMIUM)("pages to watch", { timeout: 300_000 }, () => {
  test.for([WIDE, NARROW])(
    "have nothing that axe finds, in both themes, at $width pixels",
    async (viewport, { desk }) => {
      await troubled(desk.db);
      await judgedOverTime(desk.db, today());
      await manyMore(desk);
      const page = await desk.open("oda", { viewport, scopes: ["operate"], path: "/desk/operate" });
      const found: Record<string, string[]> = {};
      for (const [name, reach] of Object.entries(STATES)) {
        await reach(page, desk.url);
        found[name] = await violationsInBoth(page, (theme) =>
          shoot(page, `${name}-${theme}-${viewport.width}`, ".watch-page, .photo-page"),
        );
        const overflow = await overflowOf(page);
        if (overflow.length > 0) found[`${name}, larger than the screen`] = overflow;
        found[`${name}, cut off`] = await cutOff(page);
      }
      expect(Object.entries(found).filter(([, violated]) => violated.length > 0)).toEqual([]);
      expect(desk.complaints).toEqual([]);
    },
  );
});
