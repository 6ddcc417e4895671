import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { describe, expect } from "vitest";
import { connect, query, queryWithoutTimeout } from "../../src/store/pool.ts";
import { test } from "../fixtures.ts";
import { freePort } from "../free-port.ts";
import { ended, maitred } from "../maitred.ts";

const { status, stdout } = spawnSync("pgbouncer", ["--version"], { encoding: "utf8" });
const withPgBouncer = test.runIf(status === 0);
const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout ?? "") ?? []).slice(1).map(Number);
/** From 1.21 on it keeps prepared statements apart while it lends sessions, by default from 1.24 on; locks and settings it does not. */
const PREPARED =
  major > 1 || minor >= 21 ? ["max_prepared_statements = 0", "max_prepared_statements = 200"] : [""];

/** PgBouncer in front of a database, and its URL. */
async function pool(folder: string, url: string, mode: "session" | "transaction", ...more: string[]) {
  const { hostname, port, username, password, pathname } = new URL(url);
  const listenPort = await freePort();
  const ini = join(folder, `${mode}.ini`);
  const to = `host=${hostname} port=${port || 5432} user=${username} password=${decodeURIComponent(password)}`;
  const settings = [
    "listen_addr = 127.0.0.1",
    `listen_port = ${listenPort}`,
    "unix_socket_dir =",
    "auth_type = any",
  ];
  const lines = ["[databases]", `* = ${to}`, "[pgbouncer]", ...settings, `pool_mode = ${mode}`, ...more];
  writeFileSync(ini, lines.join("\n"));
  chmodSync(folder, 0o755);
  // it refuses to be root
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const child = spawn("pgbouncer", [ini], { stdio: ["ignore", "ignore", "pipe"], ...nobody });
  for await (const chunk of child.stderr) if (/process up/.test(String(chunk))) break;
  return {
    url: `postgres://${username}@127.0.0.1:${listenPort}${pathname}`,
    async close() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

describe("behind PgBouncer", () => {
  withPgBouncer(
    "a session has all that is set for it, though no parameter of it is let through",
    async ({ db, folder }) => {
      const pooler = await pool(folder, db.url, "session");
      const postgres = connect(pooler.url, () => {}, 1);
      const settings = {
        text: "select name, setting from pg_settings where name in ('jit', 'search_path', 'statement_timeout') order by 1",
      };
      const all = [
        { name: "jit", setting: "off" },
        { name: "search_path", setting: "public" },
        { name: "statement_timeout", setting: "60000" },
      ];
      try {
        expect(await query(postgres, settings)).toEqual(all);
        await queryWithoutTimeout(postgres, "select 1");
        expect(await query(postgres, settings)).toEqual(all);
        const { code, out } = await ended(["migrate"], {
          DATABASE_URL: pooler.url,
          MAITRED_QUEUE_URL: db.url,
        });
        expect({ code, out }).toEqual({ code: 0, out: "nothing to do: the schema is current\n" });
      } finally {
        await postgres.end();
        await pooler.close();
      }
    },
  );

  withPgBouncer(
    "a pooler all of whose sessions are taken is named, with what to do",
    async ({ db, folder }) => {
      const pooler = await pool(folder, db.url, "session", "default_pool_size = 1");
      const other = new pg.Client({ connectionString: pooler.url });
      await other.connect();
      await other.query("select 1");
      const postgres = connect(pooler.url, () => {}, 1);
      try {
        await expect(query(postgres, { text: "select 1" })).rejects.toMatchObject({
          code: "DATABASE_UNAVAILABLE",
          message: expect.stringMatching(
            /within 10 s.*all its sessions are taken: raise its default_pool_size/,
          ),
        });
        const { code, err } = await ended(["migrate"], {
          DATABASE_URL: pooler.url,
          MAITRED_QUEUE_URL: db.url,
        });
        expect({ code, err }).toEqual({
          code: 3,
          err: expect.stringContaining("all its sessions are taken"),
        });
      } finally {
        await postgres.end();
        await other.end();
        await pooler.close();
      }
    },
  );

  withPgBouncer.for(PREPARED)(
    "sessions that are lent for one transaction are refused, and no lock is left in one %s",
    async (prepared, { db, folder }) => {
      const pooler = await pool(folder, db.url, "transaction", prepared);
      const env = { DATABASE_URL: pooler.url, MAITRED_QUEUE_URL: db.url };
      const refusal = /expected a connection of one's own.*pool_mode = session/;
      try {
        for (const command of [["migrate"], ["sweep", "photos"]]) {
          const { code, err } = await ended(command, env);
          expect(code).toBe(2);
          expect(err).toMatch(refusal);
        }
        for (const command of ["worker", "api", "feed", "deliver"]) {
          const running = maitred([command], env);
          expect(await running.exit).toBe(2);
          expect(running.stderr()).toMatch(refusal);
        }
        const { code, out } = await ended(["doctor"], env);
        expect(code).toBe(1);
        expect(out).toMatch(/FAIL +postgres +expected a connection of one's own/);
        expect((await db.pool.query("select from pg_locks where locktype = 'advisory'")).rows).toEqual([]);

        const enqueued = await ended(["enqueue", "s3://photos/a.jpg"], env);
        expect(enqueued.code).toBe(2);
        expect(enqueued.err).toMatch(refusal);
        // nor is anything set in a session that others are lent
        const stranger = new pg.Client({ connectionString: pooler.url });
        await stranger.connect();
        const { rows } = await stranger.query("select current_setting('statement_timeout') as timeout");
        await stranger.end();
        expect(rows).toEqual([{ timeout: "0" }]);
      } finally {
        await pooler.close();
      }
    },
  );

  withPgBouncer(
    "a queue is refused, as it would lack its search_path, saying what to name in its place",
    async ({ db, folder }) => {
      // 1.20 reads what options has in it, and wants each by its name
      for (const more of [[], ["ignore_startup_parameters = options, search_path, statement_timeout"]]) {
        const pooler = await pool(folder, db.url, "session", ...more);
        try {
          const { code, err } = await ended(["queue", "status"], {
            DATABASE_URL: db.url,
            MAITRED_QUEUE_URL: pooler.url,
          });
          expect(code).not.toBe(0);
          expect(err).toContain("let MAITRED_QUEUE_URL name Postgres itself");
        } finally {
          await pooler.close();
        }
      }
    },
  );
});
