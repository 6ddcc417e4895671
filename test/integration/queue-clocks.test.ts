import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, vi } from "vitest";
import { UpstreamError } from "../../src/errors.ts";
import { packageRoot } from "../../src/package-root.ts";
import { openSharedClock } from "../../src/wiring/clock.ts";
import { BACKENDS, type Backend, rows } from "../fixtures.ts";
import { test as base, collector, job, TRIES } from "../queues.ts";
import { latch } from "../waits.ts";

const HOUR_MS = 3_600_000;
const LOCK_MS = 1_000;
const down = new UpstreamError("STORE_UNAVAILABLE", "away");

const test = base.extend<{
  /** A worker in a process of its own, whose clock is so far ahead; it ends as its handler says. */
  worker(backend: Backend, aheadMs: number, photo: string): ChildProcess;
}>({
  worker: async ({ configFor }, use) => {
    await use((backend, aheadMs, photo) => {
      const { queueUrl, queueOptions, queuePrefix } = configFor(backend);
      const code = `
        const now = Date.now;
        Date.now = () => now() + ${aheadMs};
        const { consume } = await import(${JSON.stringify(`${packageRoot()}/dist/src/queue/consumer.js`)});
        const { openQueueServer } = await import(${JSON.stringify(`${packageRoot()}/dist/src/queue/server.js`)});
        const server = openQueueServer(${JSON.stringify({ queueUrl, queueOptions, queuePrefix })}, () => {});
        const settings = { concurrency: 4, lockMs: ${LOCK_MS}, ...${JSON.stringify(TRIES)} };
        await consume(server, "live", settings, { photo: ${photo}, abandoned() {}, error() {} });
        process.stdout.write("takes");`;
      const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      return child;
    });
  },
});

/** What it has written so far. */
function said(child: ChildProcess): () => string {
  let text = "";
  child.stdout!.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  return () => text;
}

describe.each(BACKENDS)("photos on %s", (backend) => {
  test("that a worker an hour ahead had in hand as it was killed go to another soon, as do those of others", async ({
    open,
    worker,
  }) => {
    const { queues, take } = open(backend);
    await queues.add("live", [job(1)]);
    // it has looked for those that others left, too
    const killed = worker(
      backend,
      HOUR_MS,
      `() => new Promise(() => setTimeout(() => process.exit(9), ${2 * LOCK_MS}))`,
    );
    expect((await once(killed, "exit"))[0]).toBe(9);
    const got = collector<string>(2);
    await queues.add("live", [job(2)]);
    const right = worker(backend, 0, "({ id }) => id === '2' ? process.exit(9) : new Promise(() => {})");
    expect((await once(right, "exit"))[0]).toBe(9);
    const died = performance.now();
    await take("live", async ({ id }) => got.push(id), { lockMs: LOCK_MS });
    await got.done;
    expect(got.items.sort()).toEqual(["1", "2"]);
    expect(performance.now() - died).toBeLessThan(10 * LOCK_MS);
  });

  test.for([
    ["an hour ahead of", 0, HOUR_MS],
    // a lock that the holder's clock counted would have ended, or not be renewed for an hour
    ["right, and not an hour behind as", -HOUR_MS, 0],
  ] as const)(
    "are taken from nobody who has them in hand, by one whose clock is %s theirs",
    async ([, holderMs, otherMs], { open, worker }) => {
      const { queues } = open(backend);
      await queues.add("live", [job(1)]);
      const holds = "({ id }) => new Promise(() => process.stdout.write(id))";
      const holder = said(worker(backend, holderMs, holds));
      await expect.poll(holder).toMatch(/1/);
      const other = said(worker(backend, otherMs, holds));
      await expect.poll(other).toBe("takes");
      await sleep(2 * LOCK_MS);
      expect([other(), holder().length]).toEqual(["takes", "takes1".length]);
      expect(await queues.held(["1"])).toBe(1);
    },
  );

  test("that a worker an hour ahead put off are due when they were put off for", async ({ open, worker }) => {
    const { queues, take } = open(backend);
    await queues.add("live", [job(1)]);
    const fails = "() => { setTimeout(() => process.exit(9), 500); throw new Error('a bug'); }";
    expect((await once(worker(backend, HOUR_MS, fails), "exit"))[0]).toBe(9);
    const got = collector<string>(1);
    await take("live", async ({ id }) => got.push(id), { lockMs: LOCK_MS });
    await got.done;
  });

  test("wait for a store that gave none since, though the clock of who had been given was an hour ahead", async ({
    open,
    db,
    scope,
  }) => {
    const { queues, take } = open(backend);
    const read = latch();
    const waited = collector<boolean>(1);
    await take(
      "live",
      async ({ id }, { last, waitsFor }) => {
        if (id === "2") return read.resolve();
        if (last) waited.push(waitsFor(down));
        if (waitsFor(down) || !last) throw down;
      },
      { attempts: 2, patienceMs: HOUR_MS / 2, now: await openSharedClock(db.pool, scope, () => {}) },
    );
    const right = Date.now;
    const clock = vi.spyOn(Date, "now").mockImplementation(() => right() + HOUR_MS);
    onTestFinished(() => clock.mockRestore());
    await queues.add("live", [job(2)]);
    await read.promise;
    clock.mockRestore();
    await queues.add("live", [job(1)]);
    await waited.done;
    expect(waited.items).toEqual([true]);
  });

  test("that others put off are taken when they are due by a worker an hour behind", async ({
    open,
    worker,
  }) => {
    const { queues, take } = open(backend);
    await queues.add("live", [job(1)]);
    const tried = latch();
    const consumer = await take("live", async (_photo, { last }) => {
      if (last) tried.resolve();
      throw new Error("a bug");
    });
    await tried.promise;
    await consumer.close();
    expect(await queues.depth("live")).toMatchObject({ delayed: 1 });
    const behind = worker(backend, -HOUR_MS, "({ id }) => process.stdout.write(id)");
    await expect.poll(said(behind)).toBe("takes1");
  });
});

test("in Postgres what somebody has in hand stays with him when its own clock falls back", async ({
  db,
  open,
}) => {
  const { queues, take } = open("postgres");
  await queues.add("live", [job(1)]);
  const locks = (untilMs: number) =>
    rows(
      db,
      `update maitred_queue.job set locked_until_ms = (extract(epoch from clock_timestamp()) * 1000)::bigint + ${untilMs}
       where state = 'active' and lock_token = 'lives' returning 1`,
    );
  // others have seen him hold it
  await rows(
    db,
    "update maitred_queue.job set state = 'active', lock_token = 'lives', stalled_marked = true",
  );
  await locks(HOUR_MS);
  const takes: string[] = [];
  await take("live", async ({ id }) => void takes.push(id), { lockMs: LOCK_MS });
  const lookedAt = async () =>
    (
      await rows(db, "select value from maitred_queue.meta where (queue, field) = ('live', 'stalled-check')")
    )[0]?.value;
  for (let looks = 0; looks < 4; looks++) {
    const before = await lookedAt();
    await expect.poll(lookedAt, { interval: 20 }).not.toBe(before);
    expect(await locks(LOCK_MS)).toHaveLength(1);
  }
  // and after that he does not
  await expect.poll(() => takes).toEqual(["1"]);
});

test("in Postgres what its own clock put into the future, when it was ahead, is taken all the same", async ({
  db,
  open,
}) => {
  const { queues, take } = open("postgres");
  await queues.add("live", [job(1), job(2)]);
  const ahead = "(extract(epoch from clock_timestamp()) * 1000)::bigint + 3600000";
  await rows(
    db,
    `update maitred_queue.job set state = 'active', lock_token = 'gone', locked_until_ms = ${ahead} where dedup_id = 'photo-1'`,
  );
  await rows(
    db,
    `update maitred_queue.job set state = 'delayed', process_at_ms = ${ahead} where dedup_id = 'photo-2'`,
  );
  await rows(
    db,
    `insert into maitred_queue.meta (queue, field, value) values ('live', 'stalled-check', (${ahead})::text)`,
  );
  const got = collector<string>(2);
  await take("live", async ({ id }) => got.push(id), { lockMs: LOCK_MS });
  await got.done;
  expect(got.items.sort()).toEqual(["1", "2"]);
});
