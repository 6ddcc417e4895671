import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { BACKENDS, type Backend, test as base } from "../fixtures.ts";
import { type Ended, ended, maitred } from "../maitred.ts";
import { until } from "../waits.ts";

interface Bench {
  env: Record<string, string>;
  /** Runs a command to its end. */
  run(...args: string[]): Promise<Ended>;
}

const test = base.extend<{ on(backend: Backend): Bench }>({
  on: async ({ configFor, folder }, use) => {
    await use((backend) => {
      const config = configFor(backend);
      const env = {
        DATABASE_URL: config.databaseUrl,
        MAITRED_QUEUE_URL: config.queueUrl,
        MAITRED_QUEUE_PREFIX: config.queuePrefix,
        MAITRED_FOLDERS: folder,
        MAITRED_PROVIDER: "cpu",
        MAITRED_MODEL: inject("idleModel"),
      };
      return { env, run: (...args) => ended(args, env) };
    });
  },
});

describe.each(BACKENDS)("maitred queue on %s", (backend) => {
  test("pauses one lane, tells everybody who asks by whom and why, and resumes it", async ({
    db,
    folder,
    configFor,
    on,
  }) => {
    const { run } = on(backend);
    copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, "a.jpg"));
    const pause = (...more: string[]) => run("queue", "pause", "live", ...more);
    expect((await run("queue", "status")).out).toBe(
      "lane      waiting  oldest  in hand  tried again later\n" +
        "live      0        -       0        0\n" +
        "backfill  0        -       0        0\n" +
        "0 workers heard from within two minutes\n",
    );
    const said = /^the lane live is paused by ann at \d{4}-\d\d-\d\d \d\d:\d\d UTC: the store is moved\n$/;
    const done = await pause("--why", "the store is moved", "--by", "ann");
    expect([done.code, done.err]).toEqual([0, ""]);
    expect(done.out).toMatch(said);
    const again = await pause("--why", "me too", "--by", "bob");
    expect([again.code, again.out]).toEqual([0, expect.stringMatching(/^nothing changed: .* by ann at /)]);

    const queued = await run("enqueue", join(folder, "a.jpg"));
    expect([queued.code, queued.out]).toEqual([0, "1 queued\n"]);
    expect(queued.err).toMatch(/^the lane live is paused by ann .* until maitred queue resume live\n$/);
    const archived = await run("enqueue", "--again", "--lane", "backfill", join(folder, "a.jpg"));
    expect([archived.code, archived.err]).toEqual([0, ""]);
    expect((await run("queue", "status")).out).toMatch(
      /\nlive +1 +\d+ s +0 +0 +paused by ann at .*: the store is moved\nbackfill +1 +\d+ s +0 +0\n/,
    );
    expect(JSON.parse((await run("queue", "status", "--json")).out)).toMatchObject({
      lanes: [
        { lane: "live", waiting: 1, active: 0, delayed: 0, paused: true, pausedBy: { who: "ann" } },
        { lane: "backfill", waiting: 1, paused: false, pausedBy: null },
      ],
      workers: 0,
    });
    const doctor = await run("doctor");
    expect([doctor.code, doctor.out]).toEqual([
      0,
      expect.stringMatching(
        /\nwarn +queue +.*; the lane live is paused by ann at .*: the store is moved; maitred queue resume live ends it\n/,
      ),
    ]);
    const findings: { check: string }[] = JSON.parse((await run("doctor", "--json")).out);
    expect(findings.find(({ check }) => check === "queue")).toMatchObject({ ok: true, warning: true });

    expect((await run("queue", "resume", "live", "--by", "bob")).out).toBe("the lane live is running\n");
    const resumed = await run("queue", "resume", "live", "--json");
    expect(JSON.parse(resumed.out)).toEqual({ lane: "live", changed: false, paused: false, pausedBy: null });
    const prefix = configFor(backend).queuePrefix;
    expect((await db.pool.query("select who, did, about from audit_log order by id")).rows).toEqual([
      {
        who: "ann",
        did: "changed-lane",
        about: { lane: "live", state: "paused", why: "the store is moved", prefix },
      },
      { who: "bob", did: "changed-lane", about: { lane: "live", state: "running", why: "", prefix } },
    ]);
  });

  test("names nobody for what was paused otherwise, or by another group", async ({ configFor, db, on }) => {
    const { run } = on(backend);
    const config = configFor(backend);
    await db.pool.query(
      `insert into audit_log (who, did, about)
        values ('ann', 'changed-lane', '{"lane": "live", "state": "paused", "why": "x", "prefix": "another"}')`,
    );
    const server = openQueueServer(config, () => {});
    const queues = openQueues(server, () => {});
    await queues.pause("live");
    await queues.close();
    await server.close();
    expect((await run("queue", "status")).out).toMatch(/live .* paused, and nobody wrote down who did it\n/);
  });

  test("takes nothing of a paused lane, over restarts of workers, while the other goes on, and takes it up again", async ({
    db,
    folder,
    on,
  }) => {
    const { env, run } = on(backend);
    const queue = async (key: string, ...options: string[]) => {
      copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, key));
      expect((await run("enqueue", ...options, join(folder, key))).code).toBe(0);
    };
    const judged = async () =>
      (await db.pool.query("select key from photos where state <> 'pending' order by key")).rows.map(
        ({ key }) => key,
      );
    await run("queue", "pause", "live", "--why", "the store is moved");
    await queue("live.jpg");
    await queue("old-1.jpg", "--lane", "backfill");
    const first = maitred(["worker"], env);
    await until(async () => (await judged()).length === 1);
    first.child.kill("SIGTERM");
    expect(await first.exit).toBe(0);

    const second = maitred(["worker"], env);
    await queue("old-2.jpg", "--lane", "backfill");
    await until(async () => (await judged()).length === 2);
    expect(await judged()).toEqual(["old-1.jpg", "old-2.jpg"]);
    await run("queue", "resume", "live");
    await until(async () => (await judged()).length === 3);
    second.child.kill("SIGTERM");
    expect(await second.exit).toBe(0);
  });
});
