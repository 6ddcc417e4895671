import { describe, expect, vi } from "vitest";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { test } from "../api.ts";
import { eventBridge } from "../events.ts";
import { failed, judged, register } from "../verdicts.ts";

describe("POST /v1/photos", () => {
  test("takes one photo, and answers with its id", async ({ start, db }) => {
    const { post } = await start();
    const told = {
      bucket: "b",
      key: "a b+.jpg",
      etag: '"e1"',
      listing: "42",
      uploader: "user",
      claimed: "menu",
    };
    const { status, body } = await post("/v1/photos", told);
    expect(status).toBe(202);
    expect(
      (await db.pool.query("select id, key, version, listing, uploader, claimed from photos")).rows,
    ).toEqual([
      { id: body.id, key: "a b+.jpg", version: "etag:e1", listing: "42", uploader: "user", claimed: "menu" },
    ]);
    expect(await post("/v1/photos", told)).toMatchObject({
      status: 200,
      body: { id: body.id, outcome: "known" },
    });
  });

  test.for([
    ["ahead", 180_000, 0],
    ["behind", 0, -180_000],
  ] as const)(
    "counts what is told as it comes, although the clock of one of two machines that take it is minutes %s",
    async ([_, firstMs, secondMs], { start, db }) => {
      const { post } = await start();
      const current = "select version from photos where superseded_at is null";
      vi.useFakeTimers({ toFake: ["Date"] });
      try {
        const now = Date.now();
        for (const [etag, ms] of [
          ["1", firstMs],
          ["2", secondMs],
        ] as const) {
          vi.setSystemTime(now + ms);
          expect((await post("/v1/photos", { bucket: "b", key: "a", etag })).status).toBe(202);
        }
      } finally {
        vi.useRealTimers();
      }
      expect((await db.pool.query(current)).rows).toEqual([{ version: "etag:2" }]);
    },
  );

  test("takes a thousand, each once, and refuses one more", async ({ start, db }) => {
    const { post, waiting } = await start();
    const many = (length: number) => Array.from({ length }, (_, n) => ({ bucket: "b", key: `k${n % 999}` }));
    const { status, body } = await post("/v1/photos", many(1_000));
    expect(status).toBe(202);
    expect(body.photos).toHaveLength(1_000);
    expect(body.photos[999]).toMatchObject({ id: body.photos[0].id, outcome: "known" });
    expect(await waiting()).toBe(999);
    expect((await post("/v1/photos", many(1_001))).status).toBe(400);
    expect((await db.pool.query("select count(*)::int as n from unqueued")).rows).toEqual([{ n: 0 }]);
  });

  test("says what is wrong with a photo, and takes none of a list in which one is wrong", async ({
    start,
    db,
  }) => {
    const { post } = await start();
    const detail = async (body: unknown) => {
      const { status, body: said } = await post("/v1/photos", body);
      return `${status} ${said.code} ${said.detail}`;
    };
    expect(await detail([{ bucket: "b", key: "a" }, { bucket: "b" }])).toMatch(
      /^400 EVENT_INVALID \[1\]\.key: /,
    );
    expect(await detail({ bucket: "b", key: "a", lisitng: "42" })).toMatch(/lisitng/);
    expect(await detail({ bucket: "b", key: "a", uploader: "x" })).toMatch(/uploader/);
    expect(await detail({ bucket: "b", key: "a\0" })).toMatch(/key: expected 1 to 1024 bytes/);
    expect(await detail({ bucket: 3, uploader: "x", lisitng: "42" })).toBe(
      "400 EVENT_INVALID bucket: expected text, got 3; key: expected text, got nothing; " +
        'uploader: expected moderator or user, got "x"; lisitng: there is no such name',
    );
    const many = Array.from({ length: 12 }, (_, n) => ({ bucket: "b", key: n }));
    expect(await detail(many)).toMatch(/ \[9\]\.key: expected text, got 9; and 2 more$/);
    for (const [none, what] of [
      [[], "an empty list"],
      [3, "3"],
      [null, "null"],
    ])
      expect(await detail(none)).toBe(
        `400 EVENT_INVALID expected a photo, or a list of 1 to 1000 photos, got ${what}`,
      );
    expect((await db.pool.query("select from photos")).rows).toEqual([]);
  });
});

describe("GET /v1/photos", () => {
  test("tells state, tags, verdict, reason and history, by id and by key, and that a photo was withdrawn", async ({
    start,
    db,
  }) => {
    const { post, ask } = await start();
    const key = "42/a+b c%20&=🍜.jpg";
    const { body: taken } = await post(
      "/v1/events/eventbridge",
      eventBridge("Object Created", { key, etag: "e1" }),
    );
    const { id } = taken.photos[0];
    await recordOutcomes(db.pool, [
      {
        photoId: id,
        known: { listing: "42" },
        batch: "t-1",
        by: "model:m-1",
        policy: "p1",
        result: {
          scores: { categories: { food: 0.9, menu: 0.1 }, human: 0.25 },
          decision: {
            verdict: "shown",
            rule: "clear",
            reason: "food 0.90",
            category: "food",
            tags: [{ category: "food", score: 0.9, threshold: 0.6 }],
          },
        },
      },
    ]);
    const byId = await ask("GET", `/v1/photos/${id}`);
    expect(byId.body).toMatchObject({
      id,
      bucket: "photos",
      key,
      version: "etag:e1",
      current: true,
      public: true,
      state: "shown",
      listing: "42",
      category: "food",
      human: 0.25,
      tags: [{ category: "food", score: 0.9, threshold: 0.6, by: "model:m-1" }],
      verdict: "shown",
      rule: "clear",
      reason: "food 0.90",
      failure: null,
      by: "model:m-1",
      history: [{ verdict: "shown", reason: "food 0.90", by: "model:m-1" }],
    });
    const byKey = () => ask("GET", `/v1/photos?${new URLSearchParams({ bucket: "photos", key })}`);
    expect((await byKey()).body).toEqual(byId.body);
    const gone = eventBridge("Object Deleted", { key, sequencer: "617f08299329d18a" });
    expect(await post("/v1/events/eventbridge", gone)).toMatchObject({
      status: 202,
      body: { photos: [{ id, outcome: "removed" }] },
    });
    expect((await byKey()).body).toMatchObject({ id, current: false, public: false, verdict: "shown" });
    const back = eventBridge("Object Created", { key, etag: "e2", sequencer: "617f08299329d18b" });
    const { body: next } = await post("/v1/events/eventbridge", back);
    expect((await byKey()).body).toMatchObject({ id: next.photos[0].id, current: true, state: "pending" });
  });

  test("tells the newest hundred of many verdicts, the oldest of these first", async ({ start, db }) => {
    const { ask } = await start();
    const id = await register(db, "a");
    await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by)
       select $1, 'shown', 'clear', n, 'model:m-1' from generate_series(1, 101) n`,
      [id],
    );
    const { history } = (await ask("GET", `/v1/photos/${id}`)).body;
    expect([history.length, history[0].reason, history.at(-1).reason]).toEqual([100, "2", "101"]);
  });

  test("tells of a photo of a folder by the folder's path and the photo's below it", async ({
    start,
    db,
  }) => {
    const { ask } = await start();
    const [photo] = await registerPhotos(
      db.pool,
      [{ store: "folder", bucket: "/srv/photos", key: "42/a b.jpg", version: "1-2", known: {} }],
      "live",
    );
    const about = new URLSearchParams({ bucket: "/srv/photos", key: "42/a b.jpg" });
    expect((await ask("GET", `/v1/photos?${about}`)).body).toMatchObject({ id: photo!.id, store: "folder" });
  });

  test("whoever asks for the photos of a listing is told where they are", async ({ start }) => {
    const { ask } = await start();
    expect((await ask("GET", "/v1/photos?listing=42")).body).toMatchObject({
      detail: expect.stringMatching(/^of one photo \(the view public_photos has lists\): bucket: /),
    });
  });

  test("answers 404 for what is not known, and 400 for what is no question", async ({ start }) => {
    const { ask } = await start();
    const statuses = async (...paths: string[]) =>
      Promise.all(paths.map(async (path) => (await ask("GET", path)).status));
    expect(await statuses("/v1/photos?bucket=b&key=a", "/v1/photos/7")).toEqual([404, 404]);
    const malformed = [
      "",
      "?bucket=b",
      "?bucket=b&key=a&key=b",
      "/x",
      "/0",
      "/%00",
      "/%",
      `/${"9".repeat(250)}`,
    ];
    expect(await statuses(...malformed.map((rest) => `/v1/photos${rest}`))).toEqual(malformed.map(() => 400));
  });

  test("says of none but those that are shown that they are public", async ({ start, db }) => {
    const { ask } = await start();
    const told: Record<string, boolean> = {};
    for (const verdict of ["shown", "hidden", "review", "failed"] as const) {
      const id = await register(db, verdict);
      await recordOutcomes(db.pool, [verdict === "failed" ? failed(id) : judged(id, verdict)]);
      const { body } = await ask("GET", `/v1/photos/${id}`);
      told[body.state] = body.public;
    }
    expect(told).toEqual({ shown: true, hidden: false, review: false, failed: false });
  });
});
