import { describe, expect } from "vitest";
import { operating } from "../../src/http/desk/operate-schemas.ts";
import { type Person, test } from "../desk.ts";
import { judgedOverTime, troubled } from "../watched.ts";

describe("what operators watch", () => {
  test("is told as it is, also to those who may only look", async ({ openDesk, db }) => {
    const { backfill } = await troubled(db);
    const vic = await (await openDesk()).signIn("vic", "read");
    const { status, body } = await vic.ask("GET", "/desk/api/operate");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      lanes: [
        { lane: "live", waiting: 0, paused: false },
        { lane: "backfill", waiting: 0, paused: false },
      ],
      failures: [{ code: "CORRUPT", photos: 4 }],
      badMessages: 2,
      destinations: [{ destination: "3f9c2a71b0d4", to: "platform.example.com", kind: "webhook", dead: 1 }],
      sweeps: [{ bucket: "photos", missed: 7, gone: 3, last: { prefix: "2026/", listed: 120_000 } }],
    });
    const [run, over] = body.backfills;
    expect(run).toMatchObject({ id: backfill, state: "running", judged: 2, waiting: 1, readAll: false });
    expect(run.held).toBe("waits for maitred feed or maitred up: none runs");
    // of a prefix nobody knows how much there is
    expect(run).toMatchObject({ part: null, leftS: null, photosPerS: 0, changed: 0 });
    expect(run.failures).toEqual([{ code: "CORRUPT", photos: 1 }]);
    expect(over).toMatchObject({ state: "cancelled", why: "the list was of last year", failures: [] });
    const [cpu, gpu] = body.workers;
    expect(cpu).toMatchObject({
      worker: "cpu-1:12",
      problem: "restaurant-7: there is no such folder",
      figures: null,
    });
    expect(gpu.figures).toMatchObject({ seconds: 30, judged: { live: 180, backfill: 56 }, failed: 4 });
    expect(gpu.figures.batches).toEqual({ "24": 8, "8": 3 });
    expect(gpu.figures.stages.decode.photos).toBe(240);
  });

  test("comes by itself to a page that asks for it, and to no other", async ({ openDesk, db }) => {
    const desk = await openDesk();
    const vic = await desk.signIn("vic", "read");
    const first = await eventsOf(desk.url, vic, "", 1);
    expect(first.map(({ name }) => name)).toEqual(["queue"]);
    const watched = await eventsOf(desk.url, vic, "?with=operate", 3, async () => void (await troubled(db)));
    expect(watched.map(({ name }) => name)).toEqual(["queue", "operate", "operate"]);
    const [, before, after] = watched.map(({ data }) => data);
    expect(operating.parse(before).workers).toEqual([]);
    expect(operating.parse(after).workers).toHaveLength(2);
  });
});

describe("dashboards", () => {
  const today = "2026-03-01";
  const days = "from=2026-01-31&to=2026-03-01";

  test("count what tables hold", async ({ openDesk, db }) => {
    await judgedOverTime(db, today);
    await db.pool.query(
      "update photos set rule = 'moderator', decided_by = 'moderator:ann' where state = 'hidden' and id % 3 = 0",
    );
    const vic = await (await openDesk()).signIn("vic", "read");
    const { body } = await vic.ask("GET", `/desk/api/dashboards/counts?${days}`);
    expect(body.step).toBe("day");
    const sum = (rows: { photos: number }[]) => rows.reduce((total, { photos }) => total + photos, 0);
    expect(sum(body.counts)).toBe(3_000);
    const { rows } = await db.pool.query(
      `select count(*)::int as n from photos where state = 'hidden' and rule = 'human' and decided_at >= '2026-01-31Z'`,
    );
    expect(sum(body.counts.filter(({ forHuman }: { forHuman: boolean }) => forHuman))).toBe(rows[0].n);
    const hours = await vic.ask(
      "GET",
      "/desk/api/dashboards/counts?from=2026-03-01&to=2026-03-01&model=model:restaurant-6",
    );
    expect(hours.body.step).toBe("hour");
    const { rows: day } = await db.pool.query(
      "select count(*)::int as n from photos where decided_by = 'model:restaurant-6' and decided_at >= '2026-03-01Z'",
    );
    expect(sum(hours.body.counts)).toBe(day[0].n);
    // whichever model is asked for, the page says who else decided
    const deciders = async (of: string) =>
      (
        await db.pool.query(
          `select decided_by as model, state as verdict, count(*)::int as photos from photos
            where decided_at >= $1 and decided_at < '2026-03-02Z' group by 1, 2 order by 1, 2`,
          [of],
        )
      ).rows;
    expect(hours.body.models).toEqual(await deciders("2026-03-01Z"));
    expect(body.models).toEqual(await deciders("2026-01-31Z"));
    expect(new Set(hours.body.counts.map(({ at }: { at: string }) => at)).size).toBeGreaterThan(5);
    const listings = await vic.ask("GET", "/desk/api/dashboards/listings?listing=7,%208,none");
    expect(new Set(listings.body.listings.map(({ listing }: { listing: string }) => listing))).toEqual(
      new Set(["7", "8"]),
    );
    for (const wrong of [
      "from=2026-03-02&to=2026-03-01",
      "from=2020-01-01&to=2026-03-01",
      "from=x&to=y",
      "",
    ]) {
      expect((await vic.ask("GET", `/desk/api/dashboards/counts?${wrong}`)).status, wrong).toBe(400);
    }
  });

  test("say how moderators agree with a model, from the audit sample alone", async ({ openDesk, db }) => {
    await judgedOverTime(db, today);
    const vic = await (await openDesk()).signIn("vic", "read");
    const { models } = (await vic.ask("GET", `/desk/api/dashboards/agreement?${days}`)).body;
    const { rows } = await db.pool.query(
      `select m.verdict = 'hidden' as hidden, r.human, count(*)::int as n
      from reviews r join verdicts m on m.photo_id = r.photo_id and m.decided_by = 'model:restaurant-6'
      where r.at >= '2026-01-31Z' and r.at < '2026-03-02Z' group by 1, 2`,
    );
    const n = (hidden: boolean, human: boolean): number =>
      rows.find((row) => row.hidden === hidden && row.human === human)?.n ?? 0;
    const [model] = models;
    expect(model.model).toBe("model:restaurant-6");
    expect(model.human.precision).toMatchObject({ hits: n(true, true), of: n(true, true) + n(true, false) });
    expect(model.human.recall).toMatchObject({ hits: n(true, true), of: n(true, true) + n(false, true) });
    expect(model.human.missed).toMatchObject({ hits: n(false, true), of: n(false, true) + n(false, false) });
    expect(model.human.missed.low).toBeLessThan(model.human.missed.value);
  });

  test("show how scores drift between these days and as many before", async ({ openDesk, db }) => {
    await judgedOverTime(db, today);
    const vic = await (await openDesk()).signIn("vic", "read");
    const ask = async (query: string) => (await vic.ask("GET", `/desk/api/dashboards/drift?${query}`)).body;
    const all = await ask("from=2026-02-20&to=2026-03-01");
    expect(all.models).toEqual(["model:restaurant-6"]);
    expect(all.before).toEqual({ from: "2026-02-10", to: "2026-02-19" });
    expect(all.scores[0].score).toBe("human");
    expect(all.scores[0].psi).toBeLessThan(0.1);
    // the first of the later days is 2026-01-31
    const turn = await ask("from=2026-01-31&to=2026-02-10&model=model:restaurant-6");
    expect(turn.scores[0].psi).toBeGreaterThan(0.1);
    expect(turn.scores[0].days).toHaveLength(11);
    expect(await ask("from=2020-01-01&to=2020-01-02")).toMatchObject({ model: null, scores: [] });
  });
});

/** The first so many events of a page that listens, in their order; comments are left out. */
async function eventsOf(
  url: string,
  { cookie }: Person,
  query: string,
  many: number,
  after: () => Promise<void> = async () => {},
): Promise<{ name: string; data: unknown }[]> {
  const ending = new AbortController();
  const response = await fetch(`${url}/desk/api/live${query}`, {
    headers: { cookie },
    signal: ending.signal,
  });
  const events: { name: string; data: unknown }[] = [];
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/s.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (name) events.push({ name, data: JSON.parse(data!) });
      if (events.length === many - 1) await after();
    }
    if (events.length >= many) break;
  }
  ending.abort();
  return events;
}
