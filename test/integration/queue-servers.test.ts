import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { inspect } from "node:util";
import { type Cluster, Redis } from "ioredis";
import { describe, expect, vi } from "vitest";
import type { Config } from "../../src/config.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueueServer, type QueueServer } from "../../src/queue/server.ts";
import { evictionGauge } from "../../src/wiring/eviction.ts";
import { orQueueUnavailable } from "../../src/wiring/intake.ts";
import { openServers } from "../../src/wiring/servers.ts";
import { BACKENDS, test } from "../fixtures.ts";
import { maitred } from "../maitred.ts";
import { collector, job, openBench, TRIES } from "../queues.ts";
import { quietable } from "../quietable.ts";
import { startRedis } from "../redis.ts";
import { until } from "../waits.ts";

const withRedis = test.runIf(BACKENDS.length > 1);
const at = (port: number) => ({ queueUrl: `redis://127.0.0.1:${port}`, queueOptions: "", queuePrefix: "x" });

describe("queue servers", () => {
  withRedis(
    "a Redis that may evict jobs is refused, saying once what to set, and one that is full",
    async ({ db }) => {
      const path = `/tmp/maitred-${process.pid}.sock`;
      const child = await startRedis(
        "--port",
        "0",
        "--unixsocket",
        path,
        "--maxmemory-policy",
        "allkeys-lru",
      );
      const settings = { queueUrl: "redis://x", queueOptions: JSON.stringify({ path }), queuePrefix: "x" };
      const server = openQueueServer(settings, () => {});
      await expect(server.check()).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("noeviction"),
      });
      const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: settings.queueUrl };
      const enqueue = maitred(["enqueue", "s3://b/k"], {
        ...env,
        MAITRED_QUEUE_OPTIONS: settings.queueOptions,
      });
      expect(await enqueue.exit).toBe(2);
      expect(enqueue.stderr()).toMatch(/^.*Redis: expected maxmemory-policy noeviction.*\n$/);
      // what is full answers to all that asks it nothing
      const full = new Redis(path);
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

  /** Servers on a Redis of their own, whose minute passes when the test says so, and what they log. */
  async function watching(
    config: Config,
    work: (how: { other: Redis; server: QueueServer; lines: string[]; scope: Scope }) => Promise<void>,
  ): Promise<void> {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const path = `/tmp/maitred-eviction-${process.pid}.sock`;
    const child = await startRedis("--port", "0", "--unixsocket", path);
    const other = new Redis(path);
    const scope = new Scope();
    const lines: string[] = [];
    try {
      const log = createLog("warn", { write: (line) => void lines.push(JSON.parse(line).msg) });
      const { server } = await openServers({ ...config, queueOptions: JSON.stringify({ path }) }, log, scope);
      await work({ other, server, lines, scope });
    } finally {
      vi.useRealTimers();
      await scope.close();
      other.disconnect();
      child.kill();
      await once(child, "exit");
    }
  }

  withRedis(
    "a Redis whose eviction policy is changed later is in the log of what runs, and in its figures",
    ({ configFor }) =>
      watching(configFor("redis"), async ({ other, server, lines }) => {
        const mayEvict = () => evictionGauge(server).read();
        expect(await mayEvict()).toBe(0);
        await other.config("SET", "maxmemory-policy", "volatile-lru");
        expect(await mayEvict()).toBe(1);
        expect(lines).toEqual([]);
        vi.advanceTimersByTime(60_000);
        await expect
          .poll(() => lines)
          .toEqual([expect.stringMatching(/noeviction, got volatile-lru.*CONFIG SET/)]);
        await other.config("SET", "maxmemory-policy", "noeviction");
        expect(await mayEvict()).toBe(0);
      }),
  );

  withRedis("a Redis that hangs when it is asked for its eviction policy holds up no end", ({ configFor }) =>
    watching(configFor("redis"), async ({ other, lines, scope }) => {
      await other.call("CLIENT", "PAUSE", "60000", "ALL");
      vi.advanceTimersByTime(60_000);
      const begun = performance.now();
      await scope.close();
      expect(performance.now() - begun).toBeLessThan(8_000);
      expect(lines).toEqual([]);
    }),
  );

  withRedis("a Redis that wants another password or user is a setting to mend", async () => {
    const path = `/tmp/maitred-password-${process.pid}.sock`;
    const child = await startRedis(
      ...["--port", "0", "--unixsocket", path],
      ...["--requirepass", "hunter2", "--user", "few", "on", ">hunter2", "~*", "&*", "+@all", "-info"],
    );
    try {
      for (const [login, message] of [
        [{}, /^Redis: expected a password, got none: mend MAITRED_QUEUE_URL/],
        [{ password: "hunter3" }, /^Redis: it does not take this user and password: mend MAITRED_QUEUE_URL/],
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
  });

  withRedis(
    "a Redis that became a replica is left for the one that its name leads to by then",
    async ({ folder }) => {
      const first = 11_000 + 2 * (process.pid % 5_000);
      const ports = [first, first + 1];
      const children = await Promise.all(
        ports.map((port) => startRedis("--dir", folder, "--port", String(port))),
      );
      let leader = ports[0]!;
      const name = createServer((from) => {
        const to = connect(leader, "127.0.0.1");
        from.on("error", () => to.destroy()).on("close", () => to.destroy());
        to.on("error", () => from.destroy()).on("close", () => from.destroy());
        from.pipe(to).pipe(from);
      });
      await once(name.listen(0, "127.0.0.1"), "listening");
      const old = new Redis(leader);
      const scope = new Scope();
      try {
        const { port } = name.address() as AddressInfo;
        const { queues, take } = openBench(scope, at(port));
        const got = collector<string>(2);
        await take("live", async ({ id }) => got.push(id), { concurrency: 1 });
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

  withRedis("a Redis Cluster is named by MAITRED_QUEUE_OPTIONS", async ({ folder }) => {
    const port = 21_000 + (process.pid % 10_000);
    const child = await startRedis(
      ...["--port", String(port), "--dir", folder],
      ...["--cluster-announce-ip", "127.0.0.1", "--cluster-enabled", "yes"],
    );
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
      const { server, queues, take } = openBench(scope, { queueUrl: "", queueOptions, queuePrefix: "x" });
      expect(await server.check()).toContain("Redis");
      const got = collector<string>(1);
      await take("live", async ({ id }) => got.push(id), { concurrency: 1 });
      await queues.add("live", [job(1)]);
      await got.done;
    } finally {
      await scope.close();
      child.kill();
    }
  });

  test("a queue in Postgres that was not migrated is refused, saying which command helps", async ({ db }) => {
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

  test.for([
    [
      "25006",
      /^Postgres: no: if it is a standby, name the primary; else reset default_transaction_read_only/,
    ],
    ["53100", /^Postgres: no: make room on its disk$/],
    ["53200", /^Postgres: no$/],
    ["53300", /^Postgres: no: raise max_connections/],
  ] as const)(
    "a Postgres that answers %s is told with what mends that, and its URL is not doubted",
    async ([code, message], { db }) => {
      await db.pool.query(`create function refuse() returns event_trigger language plpgsql
      as $$ begin raise exception 'no' using errcode = '${code}'; end $$`);
      await db.pool.query("create event trigger refuses on ddl_command_start execute function refuse()");
      const server = openQueueServer({ queueUrl: db.url, queueOptions: "", queuePrefix: "x" }, () => {});
      await expect(server.migrate()).rejects.toMatchObject({
        code: "QUEUE_UNAVAILABLE",
        message: expect.stringMatching(message),
      });
    },
  );

  test("a Postgres that is gone without a word is not waited for, and gives its photos once it is back", async ({
    db,
  }) => {
    const settings = { queueUrl: db.url, queueOptions: "", queuePrefix: "maitred_queue" };
    expect(openQueueServer(settings, () => {}).connection).toMatchObject({
      connectionTimeoutMillis: 65_000,
      query_timeout: 65_000,
    });
    const proxy = await quietable(db.url);
    const scope = new Scope();
    try {
      const { queues } = openBench(scope, settings);
      const { take, errors } = openBench(scope, { ...settings, queueUrl: `${proxy.url}?query_timeout=500` });
      const taken = collector<string>(2);
      await take("live", async ({ id }) => taken.push(id));
      await queues.add("live", [job(1)]);
      const listens =
        "select from pg_stat_activity where datname = current_database() and query like '%LISTEN bullmq_jobs;%' and state = 'idle'";
      await until(async () => (await db.pool.query(listens)).rows.length === 1);
      await until(async () => (await queues.depth("live")).active === 0 && taken.items.length === 1);
      proxy.state.silent = true;
      await until(async () => errors.some(({ message }) => message === "Query read timeout"));
      await queues.add("live", [job(2)]);
      proxy.state.silent = false;
      await taken.done;
      expect(taken.items).toEqual(["1", "2"]);
    } finally {
      // first: what it had swallowed is waited for otherwise
      proxy.close();
      await scope.close();
    }
  });

  test("a server that refuses the first connection is an error, not a loop", async ({ db }) => {
    const url = db.url.replace(/\/[^/]*$/, "/nosuchdatabase");
    const server = openQueueServer({ queueUrl: url, queueOptions: "", queuePrefix: "x" }, () => {});
    const handlers = { photo: async () => {}, abandoned: async () => {}, error: () => {} };
    await expect(
      consume(server, "live", { concurrency: 2, lockMs: 1_000, ...TRIES }, handlers),
    ).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
    });
  });

  withRedis(
    "who waits for a Redis that is away is told within about a second, and of its return",
    async () => {
      const port = 21_000 + (process.pid % 5_000);
      let child = await startRedis("--port", String(port));
      const scope = new Scope();
      let back = 0;
      try {
        const { queues } = openBench(scope, at(port), () => back++);
        await orQueueUnavailable(queues, queues.add("live", [job(1)]));
        // what it says first comes before it listens
        back = 0;
        child.kill("SIGKILL");
        await expect.poll(queues.connected).toBe(false);
        const since = performance.now();
        await expect(orQueueUnavailable(queues, queues.depth("live"))).rejects.toMatchObject({
          code: "QUEUE_UNAVAILABLE",
        });
        expect(performance.now() - since).toBeLessThan(3_000);
        expect(back).toBe(0);
        child = await startRedis("--port", String(port));
        await expect.poll(queues.connected, { timeout: 10_000 }).toBe(true);
        await expect.poll(() => back).toBe(1);
      } finally {
        await scope.close();
        child.kill();
      }
    },
  );

  test("what is set for the nodes of a Redis Cluster stands beside what is set here", async () => {
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

  test.each(["{", "null", "5", "[]", '{"cluster":5}', '{"cluster":[]}', '{"redisOptions":"x"}'])(
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

  test.each(["http://x", "", "localhost:6379"])("%j is no queue", (queueUrl) => {
    expect(() => openQueueServer({ queueUrl, queueOptions: "", queuePrefix: "x" }, () => {})).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  });
});
