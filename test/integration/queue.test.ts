import { describe, expect, vi } from "vitest";
import { migrateAll } from "../../src/cli/migrate.ts";
import { UpstreamError } from "../../src/errors.ts";
import { Scope } from "../../src/lifecycle.ts";
import { LANES, type PhotoJob } from "../../src/photo.ts";
import { BACKENDS, type Database } from "../fixtures.ts";
import { collector, type Handle, job, openBench, test } from "../queues.ts";
import { latch } from "../waits.ts";

describe.each(BACKENDS)("queues on %s", (backend) => {
  test("hand out every photo once, whole, however often it was added", async ({ open }) => {
    const { queues, take } = open(backend);
    const photos = Array.from({ length: 60 }, (_, n) => ({ ...job(n), known: { listing: "42" } }));
    await queues.add("live", photos);
    await queues.add("live", photos.slice(0, 20));
    expect(await queues.depth("live")).toMatchObject({ waiting: 60, paused: false });
    const got = collector<PhotoJob>(60);
    const consumer = await take("live", async (photo) => got.push(photo));
    await got.done;
    await consumer.close();
    expect(got.items.toSorted((a, b) => Number(a.id) - Number(b.id))).toEqual(photos);
    expect(await queues.depth("live")).toMatchObject({ waiting: 0, active: 0, delayed: 0 });
  });

  test("hold what was asked of a photo beside what a backfill fed of it, which counts for the backfill alone", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    await queues.add("backfill", [{ ...job(1), fed: true }]);
    await queues.add("backfill", [job(1)]);
    await queues.add("backfill", [{ ...job(1), fed: true }]);
    expect(await queues.held(["1"])).toBe(2);
    const got = collector<boolean>(2);
    const consumer = await take("backfill", async ({ fed = false }) => got.push(fed));
    await got.done;
    await consumer.close();
    expect(got.items.sort()).toEqual([false, true]);
    await queues.add("backfill", [{ ...job(1), fed: true }, job(1)]);
    expect(await queues.remove(["1"])).toEqual({ removed: 2, inHand: 0 });
  });

  test("take a photo again once it is done", async ({ open }) => {
    const { queues, take } = open(backend);
    for (const _ of [1, 2]) {
      const got = collector<string>(1);
      const consumer = await take("live", async ({ id }) => got.push(id));
      await queues.add("live", [job(1)]);
      await got.done;
      await consumer.close();
    }
  });

  test("hand a photo out once more that was added in hand, when its outcome may be committed already", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    for (const photo of [job(1), { ...job(2), fed: true as const }]) {
      const got = collector<string>(2);
      const consumer = await take("live", async ({ id }) => {
        if (got.items.length === 0) for (const _ of [1, 2]) await queues.add("live", [photo]);
        got.push(id);
      });
      await queues.add("live", [photo]);
      await got.done;
      await consumer.close();
      expect(got.items).toEqual([photo.id, photo.id]);
      expect(await queues.held([photo.id])).toBe(0);
    }
  });

  test("pause one lane alone", async ({ open }) => {
    const { queues, take } = open(backend);
    await queues.pause("backfill");
    for (const lane of LANES) await queues.add(lane, [job(1)]);
    const live = collector<string>(1);
    const backfill = collector<string>(1);
    await take("live", async ({ id }) => live.push(id));
    await take("backfill", async ({ id }) => backfill.push(id));
    await live.done;
    expect(backfill.items).toEqual([]);
    expect(await queues.depth("backfill")).toMatchObject({ waiting: 1, paused: true });
    await queues.resume("backfill");
    await backfill.done;
  });

  test("once paused finish what is in hand, and hand out no more to any worker until resumed", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    const begun = latch();
    const finish = latch();
    const done: string[] = [];
    const all = latch();
    const handle: Handle = async ({ id }) => {
      begun.resolve();
      await finish.promise;
      if (done.push(id) === 4) all.resolve();
    };
    const first = await take("live", handle, { concurrency: 1 });
    await queues.add("live", [job(1), job(2)]);
    await begun.promise;
    await queues.pause("live");
    await queues.pause("live");
    // of what is in hand, and of what waits, something is asked again
    await queues.add("live", [job(1), job(2), job(3)]);
    finish.resolve();
    await expect.poll(() => queues.depth("live")).toMatchObject({ active: 0, waiting: 3, paused: true });
    await first.close();
    await take("live", handle);
    // it takes of the other lane, and so would have taken of this one
    const other = latch();
    await take("backfill", async () => other.resolve());
    await queues.add("backfill", [job(4)]);
    await other.promise;
    expect(done).toEqual(["1"]);
    expect(await queues.depth("live")).toMatchObject({ active: 0, waiting: 3 });
    await queues.resume("live");
    await queues.resume("live");
    await all.promise;
    expect(done.sort()).toEqual(["1", "1", "2", "3"]);
  });

  test("wait, on close, for the photos in hand, and hand out no more", async ({ open }) => {
    const { queues, take } = open(backend);
    await queues.add("live", [job(1), job(2), job(3)]);
    const begun = latch();
    const finish = latch();
    const done: string[] = [];
    const consumer = await take(
      "live",
      async ({ id }) => {
        begun.resolve();
        await finish.promise;
        done.push(id);
      },
      { concurrency: 1 },
    );
    await begun.promise;
    const closing = consumer.close();
    finish.resolve();
    await closing;
    expect(done).toEqual(["1"]);
    expect(await queues.depth("live")).toMatchObject({ waiting: 2, active: 0 });
  });

  test("drop a job that is not a photo, loudly, and go on", async ({ open }) => {
    const { queues, take, errors } = open(backend);
    await queues.add("live", [{ nonsense: true } as unknown as PhotoJob, job(2)]);
    const got = collector<string>(1);
    await take("live", async ({ id }) => got.push(id));
    await got.done;
    expect(errors.map(({ message }) => message).join()).toContain("is not a photo");
  });

  test("tell how long the oldest photo has waited", async ({ open }) => {
    const { queues } = open(backend);
    expect((await queues.depth("live")).oldestMs).toBe(0);
    await queues.add("live", [job(1)]);
    expect((await queues.depth("live")).oldestMs).toBeGreaterThanOrEqual(0);
    expect((await queues.depth("live")).oldestMs).toBeLessThan(5_000);
  });

  test("count for the age a photo that was put off from when it is due on", async ({ open }) => {
    const { queues, take } = open(backend);
    const begun = latch();
    const consumer = await take("live", async () => {
      begun.resolve();
      throw new UpstreamError("STORE_UNAVAILABLE", "down");
    });
    await queues.add("live", [job(1)]);
    await begun.promise;
    await consumer.close();
    const [lane] = queues.own;
    for (const off of await lane!.getDelayed()) await off.promote();
    expect(await queues.depth("live")).toMatchObject({ waiting: 1, oldestMs: 0 });
    vi.useFakeTimers({ now: Date.now() + 200_000, toFake: ["Date"] });
    const later = await queues.depth("live").finally(() => vi.useRealTimers());
    expect(later.oldestMs).toBeGreaterThan(79_000);
    expect(later.oldestMs).toBeLessThan(120_000);
    await queues.add("live", [job(2)]);
    await expect.poll(async () => (await queues.depth("live")).oldestMs).toBeGreaterThan(0);
  });

  test("say what server they are on", async ({ open }) => {
    expect(await open(backend).server.check()).toMatch(/^(Redis|Postgres) \d+/);
  });
});

/** The database as a role of its own sees it, which is a member of `group`; the scope ends before the role does. */
async function memberOf(
  group: string,
  db: Database,
  use: (url: string, scope: Scope) => Promise<void>,
): Promise<void> {
  const name = new URL(db.url).pathname.slice(1);
  const role = `member_of_${name}`;
  await db.pool.query(`create role ${role} login password 'm' in role ${group}`);
  // as docs/operations.md says for whoever migrates
  if (group === "maitred_migrator") await db.pool.query(`grant create on database ${name} to ${group}`);
  const scope = new Scope();
  try {
    await use(Object.assign(new URL(db.url), { username: role, password: "m" }).href, scope);
  } finally {
    await scope.close();
    await db.pool.query(`drop role ${role}`);
  }
}

test("in Postgres a worker's role queues the first photo of a lane", async ({ db, configFor }) => {
  await memberOf("maitred_worker", db, async (url, scope) => {
    const { queues } = openBench(scope, configFor("postgres", { MAITRED_QUEUE_URL: url }));
    for (const lane of LANES) {
      await queues.add(lane, [job(1)]);
      expect((await queues.depth(lane)).waiting).toBe(1);
    }
  });
});

test("in Postgres a migrator's role migrates again what an administrator did, and takes jobs out", async ({
  db,
  configFor,
}) => {
  await memberOf("maitred_migrator", db, async (url, scope) => {
    const config = configFor("postgres", { DATABASE_URL: url, MAITRED_QUEUE_URL: url });
    expect(await migrateAll(config)).toEqual([]);
    const { queues } = openBench(scope, config);
    await queues.add("live", [job(1)]);
    expect(await queues.remove(["1"])).toEqual({ removed: 1, inHand: 0 });
  });
});
