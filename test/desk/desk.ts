import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { readConfig } from "../../src/config.ts";
import { createToken, type Scope as TokenScope } from "../../src/http/tokens.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { addToken } from "../../src/store/tokens.ts";
import { startApi } from "../../workers/api.ts";
import { test as base, type Database, withDatabase } from "../fixtures.ts";
import { freePort } from "../free-port.ts";
import { launchChromium } from "./chromium.ts";
import { type Judged, judgedSamples } from "./judged.ts";

export interface Desk {
  url: string;
  db: Database;
  /** Ends what serves the desk, and starts it again at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Makes a token; one that this person had before is revoked. */
  token(name: string, scopes: TokenScope[]): Promise<{ token: string }>;
  /** A browser of its own in which this person is signed in, at the page. */
  open(name: string, options?: Partial<Opening>): Promise<Page>;
  /** What the browsers complained of: scripts that threw, what the page's policy forbade, requests to other hosts. */
  complaints: string[];
}

interface Opening extends BrowserContextOptions {
  /** Where the browser goes, if not to the desk itself. */
  at: string;
  path: string;
  scopes: TokenScope[];
}

/**
 * A desk with the sample photos, judged by the model that ships, served as by `maitred api`, within the process of the test: one of
 * its own would take a second of a core each time. Against what was hidden somebody appealed.
 */
export const test = base.extend<
  { desk: Desk; copies: number; settings: (url: string) => Promise<Record<string, string>> },
  { browser: Browser; judged: Judged }
>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
    async ({}, use) => {
      const browser = await launchChromium();
      await use(browser);
      await browser.close();
    },
    { scope: "worker" },
  ],
  judged: [
    // biome-ignore lint/correctness/noEmptyPattern: as above
    async ({}, use) => use(await judgedSamples()),
    { scope: "worker" },
  ],
  db: async ({ judged }, use) => withDatabase(judged.database, use),
  /** How often each sample is there, at most eight times. */
  copies: 1,
  /** What more is set of what serves the desk, at this address. */
  // biome-ignore lint/correctness/noEmptyPattern: as above
  settings: async ({}, use) => use(async () => ({})),
  desk: async ({ db, judged, browser, copies, settings, task }, use) => {
    await db.pool.query("delete from photos where key ~ '^[0-9]-' and left(key, 1)::int >= $1", [copies]);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: db.url,
      MAITRED_API_PORT: String(port),
      MAITRED_FOLDERS: judged.photos,
      MAITRED_PROVIDER: "cpu",
      MAITRED_AUDIT_PER_MILLE: "0",
      ...(await settings(url)),
    };
    const contexts: BrowserContext[] = [];
    const complaints: string[] = [];
    let running: Scope | undefined;
    const desk: Desk = {
      url,
      db,
      complaints,
      async start() {
        running = new Scope();
        await startApi(readConfig(env), createLog("silent"), running);
      },
      async stop() {
        await running?.close();
      },
      async token(name, scopes) {
        const { id, token, hash } = createToken();
        // of a person whose token was lost
        await db.pool.query("update tokens set revoked_at = now() where name = $1", [name]);
        await addToken(db.pool, { id, name, hash, scopes });
        return { token };
      },
      async open(name, { at = url, path = "/desk/review", scopes = ["review"], ...options } = {}) {
        const { token } = await desk.token(name, scopes);
        const context = await browser.newContext({ viewport: WIDE, ...options });
        contexts.push(context);
        const page = await context.newPage();
        watch(page, at, complaints);
        await page.goto(`${at}${path}`);
        await page.getByLabel("Token").fill(token);
        await page.keyboard.press("Enter");
        await page.getByRole("navigation").waitFor();
        return page;
      },
    };
    await desk.start();
    await use(desk);
    if (task.result?.state === "fail") await tell(contexts);
    await Promise.all(contexts.map((context) => context.close()));
    await desk.stop();
  },
});

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 390, height: 844 };
/** A photo is in hand to be decided, and has been for as long as the page wants it looked at. */
export async function looked(page: Page): Promise<void> {
  // the search has cards too, and stays until the page that was asked for is there
  await page.locator(".review-page .card").first().waitFor();
  await page.getByText("look first").waitFor({ state: "detached" });
}

/** Shows the photo in hand to everybody, as one who looks at it first. */
export async function show(page: Page): Promise<void> {
  // what was pressed before is drawn
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  if ((await page.locator(".card[aria-current] .veil").count()) > 0) await page.keyboard.press("s");
  await seen(page);
  await page.keyboard.press("s");
}

/** The photo in hand has had its picture before the eyes. */
export async function seen(page: Page): Promise<void> {
  await page.locator(".decide-show:not([aria-disabled])").last().waitFor();
}

/**
 * Has requests handled from the next one on. Once `route` alone has returned, a page that is busy has yet to hear of it, and
 * sends what a key decides there and then past it.
 */
export async function intercept(of: Page | BrowserContext, ...how: Parameters<Page["route"]>): Promise<void> {
  await of.route(...how);
  // a page answers only after it has heard
  for (const page of "pages" in of ? of.pages() : [of]) await page.evaluate(() => {});
}

/** What waits for it goes on once it is open. */
export function gate(): { passed: Promise<void>; open(): void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

/** What stood on the pages of a test that failed: the call that waited in vain does not tell. */
async function tell(contexts: readonly BrowserContext[]): Promise<void> {
  for (const page of contexts.flatMap((context) => context.pages())) {
    console.error(`--- ${page.url()}\n${await page.locator("body").innerText()}`);
  }
}

function watch(page: Page, url: string, complaints: string[]): void {
  page.on("pageerror", (error) => complaints.push(error.stack ?? error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(url) && !/^(data|blob):/.test(to)) complaints.push(`asked for ${to}`);
  });
}
