import { Redis } from "ioredis";
import pg from "pg";
import { describe, expect } from "vitest";
import type { Config } from "../../src/config.ts";
import { UpstreamError } from "../../src/errors.ts";
import { consume } from "../../src/queue/consumer.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { erase } from "../../src/wiring/erase.ts";
import { BACKENDS, type Database, rows } from "../fixtures.ts";
import { created, job, OBJECT, tablesWith, test } from "../forgetting.ts";
import { judged } from "../verdicts.ts";
import { latch } from "../waits.ts";

/** Every key of our Redis prefix under which this text stands. */
async function redisKeysWith(config: Config, text: string): Promise<string[]> {
  const redis = new Redis(config.queueUrl);
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: `${config.queuePrefix}*` })) {
    for (const key of keys as string[]) {
      const kind = await redis.type(key);
      const value =
        kind === "hash"
          ? await redis.hgetall(key)
          : kind === "list"
            ? await redis.lrange(key, 0, -1)
            : kind === "zset"
              ? await redis.zrange(key, "0", "-1")
              : kind === "stream"
                ? await redis.xrange(key, "-", "+")
                : kind;
      if (`${key}${JSON.stringify(value)}`.includes(text)) found.push(key);
    }
  }
  redis.disconnect();
  return found;
}

describe.each(BACKENDS)("on %s, the queue", (backend) => {
  const keep = async (db: Database, config: Config, text: string): Promise<string[]> =>
    backend === "redis" ? redisKeysWith(config, text) : tablesWith(db, text);

  test("holds no job of its photos any more, in either lane", async ({ db, configFor, open }) => {
    const config = configFor(backend);
    const { queues } = open(config);
    await queues.add("live", [job("1"), job("3", "other")]);
    await queues.add("backfill", [job("2")]);
    expect(await queues.held(["1", "2", "4"])).toBe(2);
    expect(await keep(db, config, "secret-dish-4711")).not.toEqual([]);
    expect(await queues.remove(["1", "2", "4"])).toEqual({ removed: 2, inHand: 0 });
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
    expect((await queues.depth("live")).waiting).toBe(1);
  });

  test("keeps the jobs of an object that whoever asked may not forget", async ({ db, configFor, open }) => {
    const { queues } = open(configFor(backend));
    const id = await created(db);
    await queues.add("live", [job(id)]);
    const worker = new pg.Pool({ connectionString: db.url, options: "-c role=maitred_worker" });
    await expect(erase(worker, queues, [OBJECT], "oda")).rejects.toMatchObject({
      code: "DATABASE_FORBIDDEN",
    });
    await worker.end();
    expect(await queues.held([id])).toBe(1);
    expect(await erase(db.pool, queues, [OBJECT], "ann")).toMatchObject({ removed: 1, inHand: 0 });
    expect(await queues.held([id])).toBe(0);
  });

  test("ends a job in hand without effect, and has none follow it: its verdict has no row to go to", async ({
    db,
    configFor,
    open,
  }) => {
    const config = configFor(backend);
    const { queues, server } = open(config);
    const id = await created(db);
    await queues.add("live", [job(id)]);
    const [begun, decoded] = [latch(), latch()];
    const outcomes: Awaited<ReturnType<typeof recordOutcomes>>[] = [];
    const settings = { concurrency: 1, lockMs: 30_000, attempts: 3, backoffMs: 10, patienceMs: 0 };
    const consumer = await consume(server, "live", settings, {
      async photo(photo) {
        await queues.add("live", [photo]);
        begun.resolve();
        await decoded.promise;
        outcomes.push(await recordOutcomes(db.pool, [judged(photo.id, "shown")]));
      },
      abandoned: async () => {},
      error: () => {},
    });
    await begun.promise;
    expect(await queues.remove([id])).toEqual({ removed: 0, inHand: 1 });
    await forgetObjects(db.pool, [OBJECT], "ann", false);
    decoded.resolve();
    await consumer.close();
    expect(outcomes).toEqual([new Map()]);
    expect(await rows(db, "select from photos")).toEqual([]);
    expect(await rows(db, "select from verdicts")).toEqual([]);
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
  });

  test("holds nothing either of what was to follow a job that is to be tried again", async ({
    db,
    configFor,
    open,
  }) => {
    const config = configFor(backend);
    const { queues, server } = open(config);
    await queues.add("live", [job("1")]);
    const settings = { concurrency: 1, lockMs: 30_000, attempts: 3, backoffMs: 60_000, patienceMs: 0 };
    const consumer = await consume(server, "live", settings, {
      async photo(photo) {
        await queues.add("live", [photo]);
        throw new UpstreamError("STORE_UNAVAILABLE", "down");
      },
      abandoned: async () => {},
      error: () => {},
    });
    await expect.poll(() => queues.depth("live")).toMatchObject({ delayed: 1 });
    await consumer.close();
    expect(await queues.remove(["1"])).toEqual({ removed: 1, inHand: 0 });
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
  });
});
