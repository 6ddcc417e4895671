import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { createFeeder, type FeederDeps } from "../../src/backfill/feeder.ts";
import { type Page, type PageDeps, pages } from "../../src/backfill/pages.ts";
import type { RunningBackfill } from "../../src/backfill/source.ts";
import { ConfigError, UpstreamError } from "../../src/errors.ts";
import { keysOf, unused } from "../pages.ts";

describe("the feeder", () => {
  const run = (id: string, over: Partial<RunningBackfill> = {}): RunningBackfill => ({
    id,
    what: { kind: "prefix", bucket: "b", prefix: "" },
    model: "model:m",
    maxRate: null,
    hours: null,
    rendition: null,
    cursor: null,
    readAll: false,
    retrying: false,
    rests: false,
    workers: 0,
    able: 0,
    ...over,
  });

  /** A queue and a table in memory: backfills of `total` photos each, of which `size` make a page. */
  function world(backfills: RunningBackfill[], total: number, more: Partial<FeederDeps> = {}) {
    const queue: string[] = [];
    const fed: string[] = [];
    const state = { now: 0, live: 0, limit: 100 };
    const deps: FeederDeps = {
      running: async () => backfills.map((backfill) => ({ ...backfill })),
      async *pages({ id, cursor }, size): AsyncGenerator<Page> {
        let at = Number((cursor as { after: string } | null)?.after ?? 0);
        do {
          const ids = Array.from({ length: Math.min(size, total - at) }, (_, index) => `${id}:${at + index}`);
          at += ids.length;
          yield { ids, cursor: { after: String(at) }, end: at >= total, unreadable: 0 };
        } while (at < total);
      },
      async feed(backfill, from, page) {
        const row = backfills.find(({ id }) => id === backfill.id);
        if (!row || JSON.stringify(row.cursor) !== JSON.stringify(from)) return undefined;
        row.cursor = page.cursor;
        row.readAll = page.end;
        const ids = [...page.ids, ...keysOf(page)];
        fed.push(...ids);
        return ids.map((id) => ({ id, store: "s3", bucket: "b", key: id, version: "", known: {} }));
      },
      stands: async (id) => backfills.find((each) => each.id === id)?.cursor ?? null,
      retry: async () => [],
      async *waitingPhotos() {},
      waiting: async () => 0,
      held: async () => queue.length,
      add: async (photos) => void queue.push(...photos.map(({ id }) => id)),
      depth: async () => queue.length,
      liveOldestMs: async () => state.live,
      finish: async () => [],
      fail: async (id) =>
        void backfills.splice(
          backfills.findIndex((each) => each.id === id),
          1,
        ),
      now: () => state.now,
      ...more,
    };
    const failed: string[] = [];
    const feeder = createFeeder(
      deps,
      { queue: async () => state.limit, liveTargetMs: 1_000 },
      {
        fed() {},
        finished() {},
        failed: (id) => failed.push(id),
        unwell: (error) => failed.push(error.message),
      },
    );
    return { queue, fed, state, feeder, failed, deps };
  }

  test("looks for what is done in each round, and less often where that takes long", async () => {
    let looks = 0;
    const { state, feeder } = world([], 0, {
      async finish() {
        looks++;
        // while many wait
        if (looks === 3) state.now += 500;
        return [];
      },
    });
    const rounds = async (count: number): Promise<number> => {
      const before = looks;
      for (let n = 0; n < count; n++, state.now += 200) await feeder.round();
      return looks - before;
    };
    expect(await rounds(3)).toBe(3);
    expect(await rounds(49)).toBe(0);
    expect(await rounds(10)).toBe(10);
    state.now += 3_600_000;
    await feeder.round();
    looks = 2;
    await feeder.round();
    // as after a clock that is set an hour back
    state.now -= 3_600_000;
    expect(await rounds(3)).toBe(3);
  });

  test("fills the queue to its bound and not beyond, and goes on as it empties", async () => {
    const { queue, fed, feeder } = world([run("1")], 1_000);
    expect(await feeder.round()).toBe(100);
    expect(await feeder.round()).toBe(0);
    queue.splice(0, 60);
    // a page is as large as the bound at most, so the bound may be passed by one page
    await feeder.round();
    expect(queue.length).toBeLessThanOrEqual(200);
    while (fed.length < 1_000) {
      queue.length = 0;
      await feeder.round();
    }
    expect(fed).toEqual(Array.from({ length: 1_000 }, (_, index) => `1:${index}`));
  });

  test("lets several backfills take turns", async () => {
    const { queue, state, feeder } = world([run("1"), run("2")], 10_000);
    state.limit = 4_000;
    await feeder.round();
    expect(queue.filter((id) => id.startsWith("1:")).length).toBe(2_000);
    expect(queue.filter((id) => id.startsWith("2:")).length).toBe(2_000);
  });

  test("lets them take turns also where there is room for a page at a time, as where one worker runs", async () => {
    const { queue, fed, feeder } = world([run("1"), run("2"), run("3")], 1_000);
    const fedOf = (id: string): number => fed.filter((photo) => photo.startsWith(`${id}:`)).length;
    for (let round = 0; round < 6; round++) {
      await feeder.round();
      queue.length = 0;
    }
    expect(["1", "2", "3"].map(fedOf)).toEqual([200, 200, 200]);
  });

  test("feeds nothing while uploads wait for too long, or outside of its hours", async () => {
    const { state, feeder, fed } = world([run("1", { hours: "22-06" })], 100);
    state.now = new Date(2026, 0, 1, 12).valueOf();
    expect(await feeder.round()).toBe(0);
    state.now = new Date(2026, 0, 1, 23).valueOf();
    expect(feeder.standsBack()).toBe(false);
    state.live = 1_001;
    expect(await feeder.round()).toBe(0);
    expect(feeder.standsBack()).toBe(true);
    state.live = 1_000;
    expect(await feeder.round()).toBe(100);
    expect(feeder.standsBack()).toBe(false);
    expect(fed).toHaveLength(100);
  });

  test("gives one with a rate what a second brings, and nothing while it rests; the others go on", async () => {
    const backfills = [run("1", { maxRate: 4.5 }), run("2")];
    const { feeder, fed, queue, state } = world(backfills, 1_000);
    const ofFirst = () => fed.filter((id) => id.startsWith("1:"));
    state.limit = 300;
    await feeder.round();
    expect(ofFirst()).toHaveLength(5);
    backfills[0]!.rests = true;
    queue.length = 0;
    await feeder.round();
    expect(ofFirst()).toHaveLength(5);
    expect(fed.length).toBeGreaterThan(400);
    backfills[0]!.rests = false;
    queue.length = 0;
    await feeder.round();
    expect(ofFirst()).toEqual(Array.from({ length: 10 }, (_, index) => `1:${index}`));
  });

  test("does not wait for a rate where all is skipped", async () => {
    const { deps, feeder, fed } = world([run("1", { maxRate: 5 })], 40);
    const { feed } = deps;
    deps.feed = async (...page) => (await feed(...page)) && [];
    await feeder.round();
    expect(fed).toHaveLength(40);
  });

  test("looks again what there is to do every few seconds, however much one skips", async () => {
    const backfills = [run("1"), run("2", { hours: "22-06" })];
    const { deps, feeder, fed, state } = world(backfills, 1_000_000);
    const { feed } = deps;
    state.now = new Date(2026, 0, 1, 21, 59, 59).valueOf();
    deps.feed = async (backfill, ...page) => {
      state.now += 100;
      const photos = await feed(backfill, ...page);
      return backfill.id === "1" ? photos && [] : photos;
    };
    expect(await feeder.round()).toBe(0);
    expect(fed.length).toBeLessThan(10_000);
    expect(await feeder.round()).toBe(100);
    expect(fed).toContain("2:0");
  });

  test("goes on where another process stands, when that was faster", async () => {
    const backfills = [run("1")];
    const { feeder, fed, queue } = world(backfills, 300);
    await feeder.round();
    backfills[0]!.cursor = { after: "200" };
    queue.length = 0;
    await feeder.round();
    await feeder.round();
    expect(fed.slice(100)).toEqual(Array.from({ length: 100 }, (_, index) => `1:${200 + index}`));
  });

  test("opens a list once, whoever else feeds pages of it, and anew where it stands within a page", async () => {
    const list = "key\n".padEnd(10_000, "1.jpg\n");
    const backfills = [run("1", { what: { kind: "manifest", at: "s3://m/l.csv", bucket: "b" } })];
    const { deps, feeder, fed, queue } = world(backfills, 0);
    let opened = 0;
    const read: PageDeps = {
      ...unused,
      open: async () => {
        opened++;
        return Readable.from([Buffer.from(list)]);
      },
    };
    deps.pages = ({ what, cursor }, size) => pages(read, what, cursor, size);
    const elsewhere = (record: number) => {
      backfills[0]!.cursor = { file: 0, record };
      queue.length = 0;
    };
    await feeder.round();
    elsewhere(500);
    expect(await feeder.round()).toBe(100);
    expect(backfills[0]!.cursor).toEqual({ file: 0, record: 600 });
    expect([opened, fed.length]).toEqual([1, 200]);
    elsewhere(700);
    // at a rate the page behind is refused as long as the run rests
    backfills[0]!.maxRate = 100;
    expect(await feeder.round()).toBe(100);
    expect([backfills[0]!.cursor, opened]).toEqual([{ file: 0, record: 800 }, 1]);
    backfills[0]!.maxRate = null;
    elsewhere(850);
    await feeder.round();
    await feeder.round();
    expect(backfills[0]!.cursor).toEqual({ file: 0, record: 950 });
    expect(opened).toBe(2);
    await feeder.close();
  });

  test("pauses one that cannot go on, waits for what is away, and feeds the others", async () => {
    const backfills = [run("1"), run("2"), run("3")];
    const { deps, feeder, failed, fed } = world(backfills, 10, {});
    const pages = deps.pages;
    deps.pages = (backfill, size) => {
      if (backfill.id === "1") return throwing(new ConfigError("no such list"));
      if (backfill.id === "2") return throwing(new UpstreamError("STORE_UNAVAILABLE", "away"));
      return pages(backfill, size);
    };
    expect(await feeder.round()).toBe(10);
    expect(failed).toEqual(["1", "away"]);
    expect(backfills.map(({ id }) => id)).toEqual(["2", "3"]);
    deps.pages = pages;
    expect(await feeder.round()).toBe(10);
    expect(fed).toHaveLength(20);
  });

  test("pauses one of which Postgres refuses what it names, and feeds the others", async () => {
    const backfills = [run("1"), run("2"), run("3")];
    const { deps, feeder, failed } = world(backfills, 10);
    const { feed } = deps;
    const codes: Record<string, string> = { 1: "22P05", 2: "54000" };
    deps.feed = async (backfill, ...page) => {
      const code = codes[backfill.id];
      if (code) throw Object.assign(new Error("of no use"), { code });
      return feed(backfill, ...page);
    };
    expect(await feeder.round()).toBe(10);
    expect(failed).toEqual(["1", "2"]);
    expect(backfills.map(({ id }) => id)).toEqual(["3"]);
  });

  test("pauses one that it does not understand, with why, and feeds the others", async () => {
    const strange = { kind: "photos", upTo: "9", colour: "red" } as never;
    const backfills = [
      run("1", { what: strange }),
      run("2", { hours: "9" }),
      run("3", { rendition: "small.jpg" }),
      run("4"),
    ];
    const { deps, feeder, failed, fed } = world(backfills, 10);
    const { fail } = deps;
    const whys: string[] = [];
    deps.fail = (id, why) => {
      whys.push(why);
      return fail(id, why);
    };
    expect(await feeder.round()).toBe(10);
    expect(fed).toHaveLength(10);
    expect(failed).toEqual(["1", "2", "3"]);
    expect(whys).toEqual([
      expect.stringMatching(/^CONFIG_INVALID: selector: /),
      expect.stringMatching(/^CONFIG_INVALID: hours: expected two hours/),
      expect.stringMatching(/^CONFIG_INVALID: rendition template: /),
    ]);
    expect(backfills.map(({ id }) => id)).toEqual(["4"]);
  });

  test("feeds failed photos again page by page before anything new, also of one that was read to its end", async () => {
    const backfills = [run("1", { retrying: true }), run("2", { readAll: true, retrying: true })];
    const { deps, feeder, queue } = world(backfills, 3);
    const left = new Map([
      ["1", ["a", "b", "c"]],
      ["2", ["d"]],
    ]);
    deps.retry = async (id) => {
      const keys = left.get(id)!.splice(0, 2);
      backfills.find((each) => each.id === id)!.retrying = left.get(id)!.length > 0;
      return keys.map((key) => ({ id: key, store: "s3", bucket: "b", key, version: "", known: {} }));
    };
    await feeder.round();
    await feeder.round();
    expect(queue).toEqual(["a", "b", "d", "c", "1:0", "1:1", "1:2"]);
    expect(await feeder.round()).toBe(0);
  });

  test("queues what was fed before it started, and once more after ten minutes", async () => {
    const asked: number[] = [];
    const { state, feeder, queue } = world([], 0, {
      async *waitingPhotos(olderThanS) {
        asked.push(olderThanS);
        yield [{ id: "9", store: "s3", bucket: "b", key: "9", version: "", known: {} }];
      },
    });
    await feeder.round();
    await feeder.round();
    state.now += 600_000;
    await feeder.round();
    expect(asked).toEqual([0, 600]);
    expect(queue).toEqual(["9", "9"]);
  });

  test("queues again what the queue has lost, within seconds, and what waits in another's queue not without end", async () => {
    const asked: number[] = [];
    const photo = (id: string) => ({
      id,
      store: "s3" as const,
      bucket: "b",
      key: id,
      version: "",
      known: {},
    });
    const { state, feeder, queue } = world([], 0, {
      waiting: async () => 5,
      async *waitingPhotos(olderThanS) {
        asked.push(olderThanS);
        yield ["1", "2", "3", "4", "5"].map(photo);
      },
    });
    await feeder.round();
    // what is about to be queued, or was judged just now, is not lost
    queue.splice(3);
    await feeder.round();
    expect(asked).toEqual([0]);
    queue.splice(2);
    await feeder.round();
    expect(asked).toEqual([0, 5]);
    expect(queue).toHaveLength(7);
    queue.length = 0;
    state.now += 29_000;
    await feeder.round();
    expect(asked).toHaveLength(2);
    state.now += 1_000;
    await feeder.round();
    expect(asked).toEqual([0, 5, 5]);
  });

  async function* throwing(error: Error): AsyncGenerator<Page> {
    yield await Promise.reject(error);
  }
});
