import fc from "fast-check";
import { describe, expect } from "vitest";
import type { PhotoEvent } from "../../src/intake/event.ts";
import { recordEvents } from "../../src/store/events.ts";
import { connect } from "../../src/store/pool.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { rows, test, transaction } from "../fixtures.ts";
import { current, event, one, record, removed } from "../recorded.ts";
import { judged } from "../verdicts.ts";
import { until } from "../waits.ts";

describe("the order of two events", () => {
  const digits = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 1, maxLength: 40 });
  const zeros = fc.constantFrom("", "0", "00", "000");
  const sequencer = fc.tuple(zeros, digits, zeros).map((parts) => parts.join(""));

  test("is that of their sequencers with the shorter one padded, on either side", async ({ db }) => {
    for (const pad of ["right", "left"] as const) {
      const pairs = fc.sample(fc.tuple(sequencer, sequencer), 500);
      const found = await rows(
        db,
        `select sign((order_key(a, $3) > order_key(b, $3))::int - (order_key(a, $3) < order_key(b, $3))::int)::int as sign
          from unnest($1::text[], $2::text[]) with ordinality as u (a, b, n) order by n`,
        pairs.map(([a]) => a),
        pairs.map(([, b]) => b),
        pad,
      );
      const expected = pairs.map(([a, b]) => {
        const length = Math.max(a.length, b.length);
        const [x, y] = [a, b].map((each) =>
          pad === "right" ? each.padEnd(length, "0") : each.padStart(length, "0"),
        );
        return { sign: x! > y! ? 1 : x! < y! ? -1 : 0 };
      });
      expect(found).toEqual(expected);
    }
  });

  test("is another one on the other side", async ({ db }) => {
    const [short, long] = [
      event({ order: "2", version: "etag:s" }),
      event({ order: "10", version: "etag:l" }),
    ];
    expect(await recordEvents(db.pool, [short, long], "right")).toMatchObject([
      { outcome: "accepted" },
      { outcome: "stale" },
    ]);
    const elsewhere = [short, long].map((each) => ({ ...each, key: "b" }));
    expect(await recordEvents(db.pool, elsewhere, "left")).toMatchObject([
      { outcome: "accepted" },
      { outcome: "accepted" },
    ]);
  });
});

describe("events in any order", () => {
  const history: PhotoEvent[] = [
    event({ order: "1", version: "etag:1" }),
    event({ order: "2", version: "etag:2" }),
    removed("3"),
    event({ order: "4", version: "etag:1" }),
    event({ order: "5", version: "etag:3" }),
  ];

  test("any number of times, one by one or in batches, end with the last one", async ({ db }) => {
    let object = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: history.length }),
        fc.array(fc.array(fc.nat({ max: history.length - 1 }), { maxLength: 6 }), { maxLength: 6 }),
        async (length, batches) => {
          const key = `o${object++}`;
          const told = history.slice(0, length).map((each) => ({ ...each, key }));
          const picked = batches
            .map((batch) => batch.map((index) => told[index % length]!))
            .filter((b) => b.length);
          for (const batch of [...picked, told.toReversed()]) await record(db, ...batch);
          const last = told.at(-1)!;
          expect(
            await rows(db, "select version from photos where key = $1 and superseded_at is null", key),
          ).toEqual(last.kind === "created" ? [{ version: last.version }] : []);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("told by rivals at once, end with the last one, and each is accepted once", async ({ db }) => {
    const keys = ["k1", "k2", "k3"];
    const all = keys.flatMap((key) => history.map((each) => ({ ...each, key })));
    const shuffled = (seed: number): PhotoEvent[] =>
      fc.sample(fc.shuffledSubarray(all, { minLength: all.length }), { numRuns: 1, seed })[0]!;
    const answers = await Promise.all(Array.from({ length: 8 }, (_, seed) => record(db, ...shuffled(seed))));
    expect(
      await rows(db, "select key, version from photos where superseded_at is null order by key"),
    ).toEqual(keys.map((key) => ({ key, version: "etag:3" })));
    const lasts = Array.from({ length: 8 }, (_, seed) =>
      shuffled(seed).flatMap((each, n) => (each.order === "5" ? [answers[seed]![n]!.outcome] : [])),
    ).flat();
    expect(lasts.filter((outcome) => outcome === "accepted")).toHaveLength(keys.length);
    expect(lasts.filter((outcome) => outcome === "duplicate")).toHaveLength(7 * keys.length);
  });

  test("an upload waits for a removal that is being committed, and then resurrects nothing", async ({
    db,
  }) => {
    const client = await transaction(db);
    const statement = "select outcome from record_events($1, 'right')";
    const stored = (each: PhotoEvent): string => JSON.stringify([{ ...each, ord: each.order }]);
    await client.query(statement, [stored(removed("11"))]);
    const waiting = one(db, event({ order: "10" }));
    const waits =
      "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%record_events%'";
    await until(
      () => rows(db, waits),
      ({ length }) => length > 0,
    );
    await client.finish("commit");
    expect(await waiting).toMatchObject({ outcome: "stale" });
    expect(await current(db)).toEqual([]);
  });

  test("that Postgres does not finish in its time are told from an outage, and nothing of them is taken", async ({
    db,
  }) => {
    const rival = await db.pool.connect();
    const pool = connect(db.url, () => {}, 1);
    try {
      await rival.query("begin");
      await rival.query("insert into object_order (store, bucket, key) values ('s3', 'b', 'a')");
      await pool.query("set statement_timeout = '100ms'");
      await expect(recordEvents(pool, [event()], "right")).rejects.toMatchObject({
        code: "DATABASE_TIMEOUT",
        retry: true,
      });
    } finally {
      await rival.query("rollback");
      rival.release();
      await pool.end();
    }
    expect(await rows(db, "select from photos")).toEqual([]);
  });

  test("beside verdicts on the same photos do not wait for each other in a circle", async ({ db }) => {
    const events = Array.from({ length: 30 }, (_, n) => event({ key: `k${n}` }));
    const ids = (await record(db, ...events)).map(({ photoId }) => photoId!);
    const later = (order: string): PhotoEvent[] =>
      events.map((each) => ({ ...each, order, version: `etag:${order}` })).reverse();
    await expect(
      Promise.all([
        ...["11", "12", "13"].map((order) => record(db, ...later(order))),
        ...[1, 2, 3].map((n) =>
          recordOutcomes(
            db.pool,
            ids.map((id) => ({ ...judged(id, "shown"), policy: `p${n}` })),
          ),
        ),
      ]),
    ).resolves.toHaveLength(6);
  });
});
