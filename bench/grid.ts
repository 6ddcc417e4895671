import pg from "pg";
import type { CDPSession, Page } from "playwright-core";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { createToken } from "../src/http/tokens.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { addToken } from "../src/store/tokens.ts";
import { launchChromium } from "../test/desk/chromium.ts";
import { startApi } from "../workers/api.ts";
import { type Times, timesOf } from "./times.ts";

/** Times of frames, as a page sees them; the browser makes at most 60 a second. */
interface Frames extends Times {
  what: string;
  frames: number;
  /** Frames that came later than 16.7 ms after the one before, with half a millisecond of grace for the clock. */
  late: number;
  /** Frames that were made, of those that there was time for. */
  share: number;
  /**
   * CPU of the page's own thread in a sixtieth of a second, in milliseconds: script, style and layout, and all together. Other work
   * on the machine hardly changes it; above 16.7 no machine as fast as this one is smooth.
   */
  scriptMs: number;
  layoutMs: number;
  threadMs: number;
}

interface GridMeasures {
  /** In the list, and of those in the page at once. */
  photos: number;
  drawn: number;
  measures: Frames[];
}

/**
 * Reviews `photos` photos of one folder in a real Chromium, until all are in the grid, and then looks through them again: by
 * scrolling, and from one to the next with the keyboard.
 */
export async function measureGrid(
  config: Config,
  { folder, photos }: { folder: string; photos: number },
  say: (line: string) => void,
): Promise<GridMeasures> {
  await migrateAll(config);
  const db = new pg.Pool({ connectionString: config.databaseUrl, max: 2 });
  db.on("error", () => {});
  const scope = new Scope();
  scope.onClose("Postgres", () => db.end());
  try {
    await db.query(
      `insert into photos (store, bucket, key, state, rule, reason, category, human, decided_by, decided_at)
        select 'folder', $1, lpad(n::text, 6, '0') || '.jpg', 'review', 'human-uncertain', 'human 0.12 is between 0.05 and 0.50',
          'food', 0.12, 'model:restaurant-6', now() from generate_series(0, $2 - 1) n`,
      [folder, photos],
    );
    const { id, token, hash } = createToken();
    await addToken(db, { id, name: "bench", hash, scopes: ["review"] });
    const api = await startApi({ ...config, apiPort: 0, auditPerMille: 0 }, createLog("silent"), scope);
    const browser = scope.hold("browser", await launchChromium());
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(`${api.url}/desk/review`);
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await decideAll(page, photos, say);
    return await measure(page, photos, say);
  } finally {
    await scope.close();
  }
}

/** All that are claimed at once, again and again. */
async function decideAll(page: Page, photos: number, say: (line: string) => void): Promise<void> {
  for (let listed = 0; listed < photos; ) {
    await page.locator(".card:not(.decided)").first().waitFor();
    // what just came is not decided
    await page.getByText("look first").waitFor({ state: "detached" });
    await page.keyboard.press("a");
    // to show them each would have to be seen
    await page.keyboard.press("Shift+H");
    listed = Number(await page.locator(".cell").first().getAttribute("aria-setsize"));
    if (listed % 600 === 0) say(`${listed} photos are in the grid`);
  }
  await page.getByText("All done").waitFor();
}

async function measure(page: Page, photos: number, say: (line: string) => void): Promise<GridMeasures> {
  const measures: Frames[] = [];
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const time = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    await page.evaluate(RECORD);
    const before = await cpuOf(cdp);
    await work();
    const after = await cpuOf(cdp);
    const times = (await page.evaluate("noted")) as number[];
    const frame = (key: keyof Cpu): number =>
      ((after[key] - before[key]) * 1_000) / ((times.at(-1)! - times[0]!) / FRAME_MS);
    const cpu = { scriptMs: frame("script"), layoutMs: frame("layout"), threadMs: frame("thread") };
    measures.push({ ...framesOf(what, times), ...cpu });
    const { p95Ms, late, share } = measures.at(-1)!;
    const smooth = `${(share * 100).toFixed(1)} % of 60 a second`;
    const cost = `CPU a frame ${cpu.threadMs.toFixed(2)} ms`;
    say(`${what}: p95 ${p95Ms.toFixed(1)} ms, ${late} late, ${smooth}; ${cost}`);
  };
  const height = Number(await page.evaluate("document.querySelector('.cells').clientHeight"));
  await page.keyboard.press("Home");
  await time("nothing to do", () => page.waitForTimeout(3_000));
  await time("scrolling, pictures fetched for the first time or again", () => scroll(cdp, height));
  const drawn = await page.locator(".cell").count();
  await time("scrolling back, pictures at hand", () => scroll(cdp, -height));
  await page.keyboard.press("Home");
  await time("from photo to photo with j", () => press(page, "j", 600));
  return { photos, drawn, measures };
}

/** As a hand at a wheel does that is in a hurry: eighteen rows a second. */
async function scroll(cdp: CDPSession, yDistance: number): Promise<void> {
  const gesture = {
    x: 400,
    y: 500,
    yDistance: -yDistance,
    speed: 4_000,
    gestureSourceType: "mouse",
  } as const;
  await cdp.send("Input.synthesizeScrollGesture", gesture);
}

/** As a key does that is held: thirty times a second. */
async function press(page: Page, key: string, times: number): Promise<void> {
  const from = performance.now();
  for (let n = 0; n < times; n++) {
    await page.keyboard.press(key);
    const early = from + (n + 1) * 33.3 - performance.now();
    if (early > 0) await page.waitForTimeout(early);
  }
}

type Cpu = Record<"script" | "layout" | "thread", number>;

/** Seconds of CPU that the page's thread has used so far. */
async function cpuOf(cdp: CDPSession): Promise<Cpu> {
  const { metrics } = await cdp.send("Performance.getMetrics");
  const of = (name: string): number => metrics.find((each) => each.name === name)?.value ?? 0;
  return {
    script: of("ScriptDuration"),
    layout: of("LayoutDuration") + of("RecalcStyleDuration"),
    thread: of("TaskDuration"),
  };
}

function framesOf(
  what: string,
  times: readonly number[],
): Omit<Frames, "scriptMs" | "layoutMs" | "threadMs"> {
  const ms = times.slice(1).map((time, index) => time - times[index]!);
  const all = Math.round((times.at(-1)! - times[0]!) / FRAME_MS);
  return {
    what,
    frames: ms.length,
    ...timesOf(ms),
    late: ms.filter((each) => each > FRAME_MS + 0.5).length,
    share: ms.length / all,
  };
}

/** Notes the time of each frame in the page, as the browser tells it; what was noted before is forgotten. */
const RECORD = `
  window.noting ??= (() => {
    const note = (time) => { window.noted.push(time); requestAnimationFrame(note); };
    requestAnimationFrame(note);
    return true;
  })();
  window.noted = [];
`;
const FRAME_MS = 1_000 / 60;
