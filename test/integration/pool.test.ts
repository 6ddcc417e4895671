import { describe, expect } from "vitest";
import { connect, query, queryWithoutTimeout } from "../../src/store/pool.ts";
import { test } from "../fixtures.ts";
import { quietable } from "../quietable.ts";

describe("a pool", () => {
  test("does not wait for a server that is gone without a word, and goes on when it is back", async ({
    db,
  }) => {
    const proxy = await quietable(db.url);
    // what is 65 s without it
    const pool = connect(`${proxy.url}?query_timeout=500`, () => {}, 1);
    try {
      expect(await query(pool, { text: "select 1 as one" })).toEqual([{ one: 1 }]);
      proxy.state.silent = true;
      await expect(query(pool, { text: "select 2" })).rejects.toMatchObject({
        code: "DATABASE_UNAVAILABLE",
        retry: true,
      });
      proxy.state.silent = false;
      expect(await query(pool, { text: "select 3 as three" })).toEqual([{ three: 3 }]);
      expect(await queryWithoutTimeout(pool, "select pg_sleep(1), $1::text as word", ["done"])).toMatchObject(
        [{ word: "done" }],
      );
    } finally {
      await pool.end();
      proxy.close();
    }
  });

  test.for([
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EHOSTDOWN",
    "EADDRNOTAVAIL",
    "EMFILE",
    "58030",
    "28P01",
    "55P03",
    "25P03",
    "25P04",
    "28000",
    "3D000",
    "55000",
  ])("takes %s for an outage, also as one of several addresses", async (code) => {
    const error = Object.assign(new Error("away"), { code });
    const several = Object.assign(new AggregateError([error]), { code: "EWHATEVER" });
    for (const thrown of [error, several]) {
      const db = { query: () => Promise.reject(thrown) };
      await expect(query(db, { text: "" })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    }
  });

  test("has Postgres compile no statement", async ({ db }) => {
    const pool = connect(db.url, () => {}, 1);
    expect(await query(pool, { text: "show jit" })).toEqual([{ jit: "off" }]);
    await pool.end();
  });

  test("takes a statement that is wrong for no outage", async ({ db }) => {
    await expect(query(db.pool, { text: "select nothing" })).rejects.toMatchObject({ code: "42703" });
  });
});
