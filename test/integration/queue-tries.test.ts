import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { UpstreamError } from "../../src/errors.ts";
import { packageRoot } from "../../src/package-root.ts";
import { BACKENDS } from "../fixtures.ts";
import { collector, job, TRIES, test } from "../queues.ts";
import { latch } from "../waits.ts";

const down = new UpstreamError("STORE_UNAVAILABLE", "down");

describe.each(BACKENDS)("queues on %s", (backend) => {
  test("try again what may pass, and say which try is the last", async ({ open }) => {
    const { queues, take } = open(backend);
    const tries = collector<boolean>(3);
    await take("live", async (_photo, { last }) => {
      tries.push(last);
      if (!last) throw down;
    });
    await queues.add("live", [job(1)]);
    await tries.done;
    expect(tries.items).toEqual([false, false, true]);
  });

  test("keep a photo whose last try could not be recorded, for as long as it takes", async ({ open }) => {
    const { queues, take, errors } = open(backend);
    const lasts = collector<boolean>(5);
    await take("live", async (_photo, { last }) => {
      lasts.push(last);
      if (lasts.items.length === 5) return;
      throw last
        ? new Error("password authentication failed")
        : new UpstreamError("STORE_UNAVAILABLE", "down");
    });
    await queues.add("live", [job(1)]);
    await lasts.done;
    expect(lasts.items).toEqual([false, false, true, true, true]);
    expect(errors.map(({ message }) => message)).toContain("password authentication failed");
  });

  test.for([
    ["an outage of our own", new UpstreamError("DATABASE_UNAVAILABLE", "restarting")],
    [
      "having no descriptor left",
      new UpstreamError("STORE_UNAVAILABLE", "EMFILE", { cause: { code: "EMFILE" } }),
    ],
  ] as const)(
    "spend none of a photo's tries on %s, nor think its store away",
    async ([, error], { open }) => {
      const { queues, take } = open(backend);
      const which = collector<boolean>(12);
      await take(
        "live",
        async (_photo, { last, waitsFor }) => {
          which.push(last || waitsFor(down));
          if (which.items.length <= 6) throw error;
        },
        { patienceMs: 60_000 },
      );
      await queues.add(
        "live",
        Array.from({ length: 6 }, (_, n) => job(n)),
      );
      await which.done;
      expect(new Set(which.items)).toEqual(new Set([false]));
    },
  );

  test("wait for a store that refuses several photos in a row, of which one asks at a time", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    let away = true;
    let asking = 0;
    const together: number[] = [];
    const tries = collector<string>(14);
    const read = collector<string>(20);
    await take(
      "live",
      async ({ id }, { last, waitsFor }) => {
        if (!away) return read.push(id);
        together.push(++asking);
        // as others that are handed out meanwhile would ask
        await sleep(50);
        asking--;
        tries.push(id);
        if (waitsFor(down) || !last) throw down;
      },
      { attempts: 1, patienceMs: 60_000 },
    );
    await queues.add(
      "live",
      Array.from({ length: 20 }, (_, n) => job(n)),
    );
    await tries.done;
    away = false;
    await read.done;
    expect(new Set(read.items).size).toBe(20);
    // twice four were in hand before five of them were refused, and the next asked beside the last of these
    expect(new Set(together.slice(9))).toEqual(new Set([1]));
  });

  test.for([1, 3])(
    "wait for a store that refuses the only photo, of %d attempts, until patience ends",
    async (attempts, { open }) => {
      const { queues, take } = open(backend);
      const givenUp = latch();
      const waited: boolean[] = [];
      let bugsWaited = false;
      await take(
        "live",
        async (_, { last, waitsFor }) => {
          if (last) waited.push(waitsFor(down));
          bugsWaited ||= waitsFor(new Error("a bug"));
          if (waitsFor(down) || !last) throw down;
          givenUp.resolve();
        },
        { attempts, patienceMs: 4_000 },
      );
      await queues.add("live", [job(1)]);
      await givenUp.promise;
      expect(waited[0]).toBe(true);
      expect(bugsWaited).toBe(false);
      await expect.poll(() => queues.held(["1"])).toBe(0);
    },
  );

  test("end the last try of a photo where the store gave what was asked for after it refused that one", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    const read = latch();
    const tries = collector<boolean>(2);
    await take(
      "live",
      async ({ id }, { last, waitsFor }) => {
        if (id === "2") return read.resolve();
        tries.push(waitsFor(down));
        if (!last) throw new UpstreamError("STORE_UNAVAILABLE", "refused");
      },
      { attempts: 2, backoffMs: 2_000, patienceMs: 60_000 },
    );
    await queues.add("live", [job(1)]);
    await expect.poll(async () => (await queues.depth("live")).delayed).toBe(1);
    await queues.add("live", [job(2)]);
    await read.promise;
    await tries.done;
    expect(tries.items).toEqual([false, false]);
  });

  test("wait with a photo that was refused again since the store gave another", async ({ open }) => {
    const { queues, take } = open(backend);
    const read = latch();
    const tries = collector<boolean>(3);
    await take(
      "live",
      async ({ id }, { waitsFor }) => {
        if (id === "2") return read.resolve();
        tries.push(waitsFor(down));
        if (tries.items.length === 2) {
          await queues.add("live", [job(2)]);
          await read.promise;
        }
        throw new UpstreamError("STORE_UNAVAILABLE", "refused");
      },
      { attempts: 3, patienceMs: 60_000 },
    );
    await queues.add("live", [job(1)]);
    await tries.done;
    expect(tries.items).toEqual([false, false, true]);
  });

  test("let no photo of the archive wait for its store, which its backfill has it tried for again", async ({
    open,
  }) => {
    const { queues, take } = open(backend);
    const tries = collector<object>(2);
    await take(
      "backfill",
      async (_, { last, waitsFor }) => {
        tries.push({ last, waits: waitsFor(down) });
        if (!last) throw down;
      },
      { attempts: 2, patienceMs: 60_000 },
    );
    await queues.add("backfill", [job(1)]);
    await tries.done;
    expect(tries.items).toEqual([
      { last: false, waits: false },
      { last: true, waits: false },
    ]);
  });

  test("let no photo of another bucket wait for one that is away", async ({ open }) => {
    const { queues, take } = open(backend);
    const refused = new Set<string>();
    const all = latch();
    const [here, there] = [collector<boolean>(1), collector<boolean>(1)];
    await take(
      "live",
      async ({ id, bucket }, { waitsFor }) => {
        if (bucket === "another") return there.push(waitsFor(down));
        if (id === "8") here.push(waitsFor(down));
        if (refused.add(id).size === 6) all.resolve();
        throw down;
      },
      { attempts: 2, patienceMs: 60_000 },
    );
    await queues.add("live", [1, 2, 3, 4, 5, 6].map(job));
    await all.promise;
    await queues.add("live", [job(8)]);
    await here.done;
    await queues.add("live", [{ ...job(7), bucket: "another" }]);
    await there.done;
    expect([here.items[0], there.items[0]]).toEqual([true, false]);
  });

  test("let no other photo wait for one that is refused alone, however often", async ({ open }) => {
    const { queues, take } = open(backend);
    const read = latch();
    let refused = 0;
    await take(
      "live",
      async ({ id }) => {
        if (id === "2") return read.resolve();
        if (refused++ < 8) throw new UpstreamError("STORE_UNAVAILABLE", "this object alone");
        await queues.add("live", [job(2)]);
        await read.promise;
      },
      { attempts: 20, patienceMs: 60_000 },
    );
    await queues.add("live", [job(1)]);
    await read.promise;
  });

  test("give up a photo that kills every worker that takes it, and hold it until that is recorded", async ({
    open,
    configFor,
  }) => {
    const { queues, take, errors } = open(backend);
    const { queueUrl, queueOptions, queuePrefix } = configFor(backend);
    await queues.add("live", [job(1)]);
    const killed = `
      import { consume } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/consumer.js`)};
      import { openQueueServer } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/server.js`)};
      const server = openQueueServer(${JSON.stringify({ queueUrl, queueOptions, queuePrefix })}, () => {});
      const die = (code) => async () => process.exit(code);
      await consume(server, "live", { concurrency: 1, lockMs: 500, ...${JSON.stringify(TRIES)} }, { photo: die(9), abandoned: die(8), error() {} });`;
    const codes: unknown[] = [];
    while (codes.at(-1) !== 8) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", killed], { stdio: "inherit" });
      codes.push((await once(child, "exit"))[0]);
    }
    // the last one died before it could record that
    expect(codes).toEqual([9, 9, 9, 9, 8]);
    const reasons: string[] = [];
    const got = collector<string>(1);
    const recorded = collector<string>(1);
    await take("live", async ({ id }) => got.push(id), {
      lockMs: 500,
      async abandoned({ id }, reason, how) {
        // one died in it
        reasons.push(`${reason}${how.again ? ", again" : ""}${how.patient ? ", patient" : ""}`);
        if (reasons.length === 1) throw new Error("Postgres is away");
        recorded.push(id);
      },
    });
    await recorded.done;
    expect(reasons).toEqual(Array(2).fill("in hand each time that 5 workers died, again"));
    expect(errors.map(({ message }) => message)).toContain("Postgres is away");
    await expect.poll(() => queues.held(["1"])).toBe(0);
    // asked for anew, it is as any other
    await queues.add("live", [job(1)]);
    await got.done;
    expect([got.items, recorded.items]).toEqual([["1"], ["1"]]);
  });

  test("give up the photo that kills workers, and none that is in hand beside it", async ({
    open,
    configFor,
  }) => {
    const { queues, take } = open(backend);
    const { queueUrl, queueOptions, queuePrefix } = configFor(backend);
    await queues.add("live", [1, 2, 3, 4, 5, 6].map(job));
    // a busy machine may renew locks late, and one that ended meanwhile counts as a death
    const lockMs = 2_000;
    const killed = `
      import { setTimeout as sleep } from "node:timers/promises";
      import { consume } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/consumer.js`)};
      import { openQueueServer } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/server.js`)};
      const server = openQueueServer(${JSON.stringify({ queueUrl, queueOptions, queuePrefix })}, () => {});
      const photo = async ({ id }) => { await sleep(id === "3" ? 100 : 400); if (id === "3") process.exit(9); };
      const abandoned = async ({ id }, _reason, { again }) => {
        if (process.exitCode !== 7) process.exitCode = id === "3" && !again ? 8 : 7;
        // what is in hand beside it is done with
        void worker.close().then(() => process.exit());
      };
      const worker = await consume(server, "live", { concurrency: 6, lockMs: ${lockMs}, ...${JSON.stringify(TRIES)} }, { photo, abandoned, error() {} });`;
    const codes: unknown[] = [];
    while (![7, 8].includes(codes.at(-1) as number)) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", killed], { stdio: "inherit" });
      codes.push((await once(child, "exit"))[0]);
    }
    expect(codes).toEqual([9, 9, 9, 9, 8]);
    const others: string[] = [];
    const abandoned = async ({ id }: { id: string }): Promise<void> => void others.push(id);
    await take("live", async () => {}, { lockMs, abandoned });
    await expect.poll(() => queues.held(["1", "2", "3", "4", "5", "6"])).toBe(0);
    expect(others).toEqual([]);
  });

  test("of a worker that was killed go to one that starts then within one and a half times its lock", async ({
    open,
    configFor,
  }) => {
    const { queues, take } = open(backend);
    const { queueUrl, queueOptions, queuePrefix } = configFor(backend);
    await queues.add("live", [job(1)]);
    const killed = `
      import { consume } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/consumer.js`)};
      import { openQueueServer } from ${JSON.stringify(`${packageRoot()}/dist/src/queue/server.js`)};
      const server = openQueueServer(${JSON.stringify({ queueUrl, queueOptions, queuePrefix })}, () => {});
      await consume(server, "live", { concurrency: 1, lockMs: 4_000, ...${JSON.stringify(TRIES)} }, { photo: async () => process.exit(9), async abandoned() {}, error() {} });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", killed], { stdio: "inherit" });
    expect((await once(child, "exit"))[0]).toBe(9);
    const died = performance.now();
    const got = collector<string>(1);
    await take("live", async ({ id }) => got.push(id), { lockMs: 4_000 });
    await got.done;
    expect(performance.now() - died).toBeLessThan(6_000);
  });
});
