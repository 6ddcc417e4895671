import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { type Cluster, Redis } from "ioredis";
import { describe, expect, vi } from "vitest";
import { migrateAll } from "../../src/cli/migrate.ts";
import { PhotoError, UpstreamError } from "../../src/errors.ts";
import { Scope } from "../../src/lifecycle.ts";
import { packageRoot } from "../../src/package-root.ts";
import { LANES, type Lane, type PhotoJob } from "../../src/photo.ts";
import { type Attempt, type ConsumerHandlers, consume } from "../../src/queue/consumer.ts";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer, type QueueServer } from "../../src/queue/server.ts";
import { orAway } from "../../src/wiring/intake.ts";
import { BACKENDS, type Backend, test as base, type Database } from "../fixtures.ts";
import { latch, until } from "../waits.ts";

const job = (id: number): PhotoJob => ({
  id: String(id),
  store: "s3",
  bucket: "b",
  key: `k${id}`,
  version: "",
  known: {},
});

const TRIES = { attempts: 3, backoffMs: 5, patienceMs: 0 };

type Handle = (photo: PhotoJob, attempt: Attempt) => Promise<void>;

/** Queues and consumers of one test; everything is closed at its end. */
interface Bench {
  server: QueueServer;
  queues: ReturnType<typeof openQueues>;
  errors: Error[];
  take(
    lane: Lane,
    photo: Handle,
    over?: Partial<
      {
        concurrency: number;
        lockMs: number;
        attempts: number;
        backoffMs: number;
        patienceMs: number;
      } & ConsumerHandlers
    >,
  ): Promise<{ close(): Promise<void> }>;
}

const test = base.extend<{ open(backend: Backend): Bench }>({
  open: async ({ configFor }, use) => {
    const scope = new Scope();
    await use((backend) => {
      const errors: Error[] = [];
      const config = configFor(backend);
      const server = scope.hold(
        "server",
        openQueueServer(config, (error) => errors.push(error)),
      );
      const queues = scope.hold(
        "queues",
        openQueues(server, (error) => errors.push(error)),
      );
      return {
        server,
        queues,
        errors,
        take(lane, photo, over = {}) {
          const {
            concurrency = 4,
            lockMs = 5_000,
            attempts,
            backoffMs,
            patienceMs,
            ...rest
          } = { ...TRIES, ...over };
          const handlers = {
            photo,
            abandoned: async () => {},
            error: (error: Error) => void errors.push(error),
            ...rest,
          };
          const settings = { concurrency, lockMs, attempts, backoffMs, patienceMs };
          return consume(server, lane, settings, handlers).then((consumer) =>
            scope.hold("consumer", consumer),
          );
        },
      };
    });
    await scope.close();
  },
});

/** Collects until `enough`, which `done` waits for. */
function collector<T>(enough: number): { items: T[]; push(item: T): void; done: Promise<void> } {
  const items: T[] = [];
  const { promise, resolve } = latch();
  return {
    items,
    push(item) {
      items.push(item);
      if (items.length === enough) resolve();
    },
    done: promise,
  };
}

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

  test("try again what may pass, and say which try is the last", async ({ open }) => {
    const { queues, take } = open(backend);
    const tries = collector<boolean>(3);
    await take("live", async (_photo, { last }) => {
      tries.push(last);
      if (!last) throw new UpstreamError("STORE_UNAVAILABLE", "down");
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

  test("never try again what is the photo's own fault", async ({ open }) => {
    const { queues, take } = open(backend);
    const tries = collector<string>(2);
    await take(
      "live",
      async ({ id }) => {
        tries.push(id);
        if (id === "1") throw new PhotoError("CORRUPT", "bad");
      },
      { concurrency: 1 },
    );
    await queues.add("live", [job(1), job(2)]);
    await tries.done;
    expect(tries.items).toEqual(["1", "2"]);
    expect(await queues.depth("live")).toMatchObject({ waiting: 0, delayed: 0 });
  });

  test("spend none of a photo's tries on an outage of our own", async ({ open }) => {
    const { queues, take } = open(backend);
    const lasts = collector<boolean>(2);
    await take("live", async (_photo, { last }) => {
      lasts.push(last);
      if (lasts.items.length < 2) throw new UpstreamError("DATABASE_UNAVAILABLE", "restarting");
    });
    await queues.add("live", [job(1)]);
    await lasts.done;
    expect(lasts.items).toEqual([false, false]);
  });

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
      async ({ id }, { last, waits }) => {
        if (!away) return read.push(id);
        together.push(++asking);
        // as others that are handed out meanwhile would ask
        await sleep(50);
        asking--;
        tries.push(id);
        if (waits || !last) throw new UpstreamError("STORE_UNAVAILABLE", "down");
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
      await take(
        "live",
        async (_, { last, waits }) => {
          if (last) waited.push(waits);
          if (waits || !last) throw new UpstreamError("STORE_UNAVAILABLE", "down");
          givenUp.resolve();
        },
        { attempts, patienceMs: 4_000 },
      );
      await queues.add("live", [job(1)]);
      await givenUp.promise;
      expect(waited[0]).toBe(true);
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
      async ({ id }, { last, waits }) => {
        if (id === "2") return read.resolve();
        tries.push(waits);
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
      async ({ id }, { waits }) => {
        if (id === "2") return read.resolve();
        tries.push(waits);
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
      async abandoned({ id }, reason) {
        reasons.push(reason);
        if (reasons.length === 1) throw new Error("Postgres is away");
        recorded.push(id);
      },
    });
    await recorded.done;
    expect(reasons).toEqual(Array(2).fill("in hand each time that 5 workers died"));
    expect(errors.map(({ message }) => message)).toContain("Postgres is away");
    await expect.poll(() => queues.held(["1"])).toBe(0);
    // asked for anew, it is as any other
    await queues.add("live", [job(1)]);
    await got.done;
    expect([got.items, recorded.items]).toEqual([["1"], ["1"]]);
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

describe("queue servers", () => {
  base.runIf(BACKENDS.length > 1)(
    "a Redis that may evict jobs is refused, saying what to set, and one that is full",
    async () => {
      const child = spawn("redis-server", [
        "--port",
        "0",
        "--unixsocket",
        `/tmp/maitred-${process.pid}.sock`,
        "--save",
        "",
        "--maxmemory-policy",
        "allkeys-lru",
      ]);
      await once(child.stdout, "data");
      const server = openQueueServer(
        {
          queueUrl: "redis://x",
          queueOptions: JSON.stringify({ path: `/tmp/maitred-${process.pid}.sock` }),
          queuePrefix: "x",
        },
        () => {},
      );
      await expect(server.check()).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("noeviction"),
      });
      // what is full answers to all that asks it nothing
      const full = new Redis(`/tmp/maitred-${process.pid}.sock`);
      await full.config("SET", "maxmemory-policy", "noeviction");
      expect(await server.check()).toMatch(/^Redis /);
      await full.config("SET", "maxmemory", "1");
      await expect(server.check()).rejects.toMatchObject({
        code: "QUEUE_UNAVAILABLE",
        message: expect.stringContaining("maxmemory"),
      });
      full.disconnect();
      await server.close();
      child.kill();
      await once(child, "exit");
    },
  );

  base.runIf(BACKENDS.length > 1)(
    "a Redis that wants another password or user is a setting to mend",
    async () => {
      const path = `/tmp/maitred-password-${process.pid}.sock`;
      const child = spawn("redis-server", [
        ...["--port", "0", "--unixsocket", path, "--save", "", "--maxmemory-policy", "noeviction"],
        ...["--requirepass", "hunter2", "--user", "few", "on", ">hunter2", "~*", "&*", "+@all", "-info"],
      ]);
      await once(child.stdout, "data");
      try {
        for (const [login, message] of [
          [{}, /^Redis: expected a password, got none: mend MAITRED_QUEUE_URL/],
          [
            { password: "hunter3" },
            /^Redis: it does not take this user and password: mend MAITRED_QUEUE_URL/,
          ],
          [{ username: "few", password: "hunter2" }, /^Redis: its user may not do all that is needed/],
        ] as const) {
          const queueOptions = JSON.stringify({ path, ...login });
          const server = openQueueServer({ queueUrl: "", queueOptions, queuePrefix: "x" }, () => {});
          const refusal = await server.check().catch((thrown: unknown) => thrown);
          await server.close();
          expect(refusal).toMatchObject({
            code: "CONFIG_INVALID",
            message: expect.stringMatching(message),
          });
          expect(inspect(refusal, { depth: null })).not.toContain("hunter");
        }
      } finally {
        child.kill();
        await once(child, "exit");
      }
    },
  );

  base.runIf(BACKENDS.length > 1)(
    "a Redis that became a replica is left for the one that its name leads to by then",
    async () => {
      const first = 11_000 + 2 * (process.pid % 5_000);
      const ports = [first, first + 1];
      const folder = mkdtempSync(join(tmpdir(), "maitred-switch-"));
      const flags = ["--dir", folder, "--save", "", "--maxmemory-policy", "noeviction", "--port"];
      const children = ports.map((port) => spawn("redis-server", [...flags, String(port)]));
      let leader = ports[0]!;
      const name = createServer((from) => {
        const to = connect(leader, "127.0.0.1");
        from.on("error", () => to.destroy()).on("close", () => to.destroy());
        to.on("error", () => from.destroy()).on("close", () => from.destroy());
        from.pipe(to).pipe(from);
      });
      name.listen(0, "127.0.0.1");
      await Promise.all([once(name, "listening"), ...children.map(({ stdout }) => once(stdout, "data"))]);
      const old = new Redis(leader);
      const scope = new Scope();
      try {
        const { port } = name.address() as AddressInfo;
        const settings = { queueUrl: `redis://127.0.0.1:${port}`, queueOptions: "", queuePrefix: "x" };
        const server = scope.hold(
          "server",
          openQueueServer(settings, () => {}),
        );
        const queues = scope.hold(
          "queues",
          openQueues(server, () => {}),
        );
        const got = collector<string>(2);
        const handlers = {
          photo: async ({ id }: PhotoJob) => got.push(id),
          abandoned: async () => {},
          error: () => {},
        };
        scope.hold(
          "consumer",
          await consume(server, "live", { concurrency: 1, lockMs: 5_000, ...TRIES }, handlers),
        );
        await queues.add("live", [job(1)]);
        await expect.poll(() => got.items).toEqual(["1"]);

        leader = ports[1]!;
        await old.replicaof("127.0.0.1", leader);
        // whoever was refused is told, and asks again
        await expect.poll(() => queues.add("live", [job(2)]).then(() => "added", String)).toBe("added");
        await got.done;
        expect(got.items).toEqual(["1", "2"]);
      } finally {
        await scope.close();
        old.disconnect();
        name.close();
        for (const child of children) child.kill();
      }
    },
  );

  base.runIf(BACKENDS.length > 1)("a Redis Cluster is named by MAITRED_QUEUE_OPTIONS", async () => {
    const port = 21_000 + (process.pid % 10_000);
    const folder = mkdtempSync(join(tmpdir(), "maitred-cluster-"));
    const child = spawn("redis-server", [
      "--port",
      String(port),
      "--cluster-announce-ip",
      "127.0.0.1",
      "--cluster-enabled",
      "yes",
      "--dir",
      folder,
      "--save",
      "",
    ]);
    await once(child.stdout, "data");
    const scope = new Scope();
    try {
      const setup = new Redis(port);
      await setup.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
      await until(
        () => setup.cluster("INFO"),
        (told) => told.includes("cluster_state:ok"),
      );
      setup.disconnect();
      const queueOptions = JSON.stringify({ cluster: [{ host: "127.0.0.1", port }] });
      const server = scope.hold(
        "server",
        openQueueServer({ queueUrl: "", queueOptions, queuePrefix: "x" }, () => {}),
      );
      expect(await server.check()).toContain("Redis");
      const queues = scope.hold(
        "queues",
        openQueues(server, () => {}),
      );
      const got = collector<string>(1);
      const handlers = {
        photo: async ({ id }: PhotoJob) => got.push(id),
        abandoned: async () => {},
        error: () => {},
      };
      scope.hold(
        "consumer",
        await consume(server, "live", { concurrency: 1, lockMs: 5_000, ...TRIES }, handlers),
      );
      await queues.add("live", [job(1)]);
      await got.done;
    } finally {
      await scope.close();
      child.kill();
    }
  });

  base("a queue in Postgres that was not migrated is refused, saying which command helps", async ({ db }) => {
    const server = openQueueServer(
      { queueUrl: db.url, queueOptions: "", queuePrefix: "elsewhere" },
      () => {},
    );
    await expect(server.check()).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("maitred migrate"),
    });
    await server.migrate();
    await expect(server.check()).resolves.toContain("Postgres");
  });

  base("a server that refuses the first connection is an error, not a loop", async ({ db }) => {
    const url = db.url.replace(/\/[^/]*$/, "/nosuchdatabase");
    const server = openQueueServer({ queueUrl: url, queueOptions: "", queuePrefix: "x" }, () => {});
    const handlers = { photo: async () => {}, abandoned: async () => {}, error: () => {} };
    await expect(
      consume(server, "live", { concurrency: 2, lockMs: 1_000, ...TRIES }, handlers),
    ).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
    });
  });

  base.runIf(BACKENDS.length > 1)(
    "who waits for a Redis that is away is told within about a second, and of its return",
    async () => {
      const port = 21_000 + (process.pid % 5_000);
      const flags = ["--port", String(port), "--save", "", "--maxmemory-policy", "noeviction"];
      let child = spawn("redis-server", flags);
      await once(child.stdout, "data");
      const scope = new Scope();
      let back = 0;
      try {
        const settings = { queueUrl: `redis://127.0.0.1:${port}`, queueOptions: "", queuePrefix: "x" };
        const server = scope.hold(
          "server",
          openQueueServer(
            settings,
            () => {},
            () => back++,
          ),
        );
        const queues = scope.hold(
          "queues",
          openQueues(server, () => {}),
        );
        await orAway(queues, queues.add("live", [job(1)]));
        // what it says first comes before it listens
        back = 0;
        child.kill("SIGKILL");
        await expect.poll(queues.connected).toBe(false);
        const since = performance.now();
        await expect(orAway(queues, queues.depth("live"))).rejects.toMatchObject({
          code: "QUEUE_UNAVAILABLE",
        });
        expect(performance.now() - since).toBeLessThan(3_000);
        expect(back).toBe(0);
        child = spawn("redis-server", flags);
        await expect.poll(queues.connected, { timeout: 10_000 }).toBe(true);
        await expect.poll(() => back).toBe(1);
      } finally {
        await scope.close();
        child.kill();
      }
    },
  );

  base("what is set for the nodes of a Redis Cluster stands beside what is set here", async () => {
    const nodes = {
      cluster: [{ host: "127.0.0.1", port: 1 }],
      redisOptions: { password: "x", keepAlive: 1 },
    };
    const queueOptions = JSON.stringify(nodes);
    const server = openQueueServer({ queueUrl: "", queueOptions, queuePrefix: "x" }, () => {});
    expect((server.connection as Cluster).options.redisOptions).toEqual({
      maxRetriesPerRequest: null,
      enableReadyCheck: true,
      socketTimeout: 60_000,
      keepAlive: 1,
      reconnectOnError: expect.any(Function),
      password: "x",
    });
    await server.close();
  });

  base.each(["{", "null", "5", "[]", '{"cluster":5}', '{"cluster":[]}', '{"redisOptions":"x"}'])(
    "MAITRED_QUEUE_OPTIONS=%s is refused",
    (queueOptions) => {
      expect(() =>
        openQueueServer({ queueUrl: "redis://x", queueOptions, queuePrefix: "x" }, () => {}),
      ).toThrow(
        expect.objectContaining({
          code: "CONFIG_INVALID",
          message: expect.stringContaining("expected JSON"),
        }),
      );
    },
  );

  base.each(["http://x", "", "localhost:6379"])("%j is no queue", (queueUrl) => {
    expect(() => openQueueServer({ queueUrl, queueOptions: "", queuePrefix: "x" }, () => {})).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  });
});

/** The database as a role of its own sees it, which is a member of `group`. */
async function memberOf(group: string, db: Database, use: (url: string) => Promise<void>): Promise<void> {
  const name = new URL(db.url).pathname.slice(1);
  const role = `member_of_${name}`;
  await db.pool.query(`create role ${role} login password 'm' in role ${group}`);
  // as docs/operations.md says for whoever migrates
  if (group === "maitred_migrator") await db.pool.query(`grant create on database ${name} to ${group}`);
  try {
    await use(Object.assign(new URL(db.url), { username: role, password: "m" }).href);
  } finally {
    await db.pool.query(`drop role ${role}`);
  }
}

test("in Postgres a worker's role queues the first photo of a lane", async ({ db, configFor }) => {
  await memberOf("maitred_worker", db, async (url) => {
    const server = openQueueServer(configFor("postgres", { MAITRED_QUEUE_URL: url }), () => {});
    const queues = openQueues(server, () => {});
    try {
      for (const lane of LANES) {
        await queues.add(lane, [job(1)]);
        expect((await queues.depth(lane)).waiting).toBe(1);
      }
    } finally {
      await queues.close();
      await server.close();
    }
  });
});

test("in Postgres a migrator's role migrates again what an administrator did, and takes jobs out", async ({
  db,
  configFor,
}) => {
  await memberOf("maitred_migrator", db, async (url) => {
    const config = configFor("postgres", { DATABASE_URL: url, MAITRED_QUEUE_URL: url });
    expect(await migrateAll(config)).toEqual([]);
    const server = openQueueServer(config, () => {});
    const queues = openQueues(server, () => {});
    try {
      await queues.add("live", [job(1)]);
      expect(await queues.remove(["1"])).toEqual({ removed: 1, inHand: 0 });
    } finally {
      await queues.close();
      await server.close();
    }
  });
});
