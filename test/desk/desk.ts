import { copyFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { inject } from "vitest";
import { createToken, type Scope } from "../../src/http/tokens.ts";
import { addToken } from "../../src/store/tokens.ts";
import { test as base, type Database } from "../fixtures.ts";
import { maitred, type Running } from "../maitred.ts";
import { launchChromium } from "./chromium.ts";

export interface Desk {
  url: string;
  db: Database;
  /** Ends the process that serves the desk, and starts it again at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
  token(name: string, scopes: Scope[]): Promise<{ token: string }>;
  /** A browser of its own in which this person is signed in, at the page. */
  open(name: string, options?: Partial<Opening>): Promise<Page>;
  /** What the browsers complained of: scripts that threw, what the page's policy forbade, requests to other hosts. */
  complaints: string[];
}

interface Opening extends BrowserContextOptions {
  path: string;
  scopes: Scope[];
}

/**
 * A desk with the sample photos, judged by the model that ships, served by a real `maitred up` of its own. Against what
 * was hidden somebody appealed.
 */
export const test = base.extend<{ desk: Desk; copies: number }, { browser: Browser }>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
    async ({}, use) => {
      const browser = await launchChromium();
      await use(browser);
      await browser.close();
    },
    { scope: "worker" },
  ],
  /** How often each sample is there. */
  copies: 1,
  desk: async ({ db, folder, browser, copies }, use) => {
    const samples = inject("samples");
    for (const name of readdirSync(samples)) {
      for (let copy = 0; copy < copies; copy++) {
        copyFileSync(join(samples, name), join(folder, copy ? `${copy}-${name}` : name));
      }
    }
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = {
      DATABASE_URL: db.url,
      MAITRED_API_PORT: String(port),
      MAITRED_PROVIDER: "cpu",
      MAITRED_AUDIT_PER_MILLE: "0",
    };
    const contexts: BrowserContext[] = [];
    const complaints: string[] = [];
    let running: Running | undefined;
    const desk: Desk = {
      url,
      db,
      complaints,
      async start() {
        running = maitred(["up", folder], env);
        await running.says("the API answers at ");
      },
      async stop() {
        running?.child.kill("SIGTERM");
        await running?.exit;
        running = undefined;
      },
      async token(name, scopes) {
        const { id, token, hash } = createToken();
        await addToken(db.pool, { id, name, hash, scopes });
        return { token };
      },
      async open(name, { path = "/desk/review", scopes = ["review"], ...options } = {}) {
        const { token } = await desk.token(name, scopes);
        const context = await browser.newContext({ viewport: WIDE, ...options });
        contexts.push(context);
        const page = await context.newPage();
        watch(page, url, complaints);
        await page.goto(`${url}${path}`);
        await page.getByLabel("Token").fill(token);
        await page.keyboard.press("Enter");
        await page.getByRole("navigation").waitFor();
        return page;
      },
    };
    await desk.start();
    await judged(db, readdirSync(folder).length);
    await db.pool.query(
      "select open_appeal(id, 'nobody is in it', 'listing 7') from photos where state = 'hidden'",
    );
    await use(desk);
    await Promise.all(contexts.map((context) => context.close()));
    await desk.stop();
  },
});

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 390, height: 844 };

/** Polls what another process commits: there is no other way to see it. */
export async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function judged(db: Database, photos: number): Promise<void> {
  const decided = async (): Promise<number> =>
    (await db.pool.query("select count(*)::int as n from photos where state <> 'pending'")).rows[0].n;
  await until(decided, (n) => n === photos);
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

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
