import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect, inject, onTestFinished } from "vitest";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { migrate } from "../../src/store/migrate.ts";
import { connect } from "../../src/store/pool.ts";
import { rows, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";

async function connectTo(url: string, connections = 1): Promise<string[]> {
  const told: string[] = [];
  const pool = connect(url, ({ message }) => void told.push(message), connections);
  await Promise.all(Array.from({ length: connections }, () => pool.query("select pg_sleep(0.1)")));
  await pool.end();
  return told;
}

test("where Postgres is another cluster or timeline than the one seen last, numbers are skipped once, and a person is told", async ({
  db,
}) => {
  expect(await connectTo(db.url)).toEqual([]);
  const [before] = await rows(db, "select nextval('outbox_seq')::float as sequence");
  for (const [column, skipped] of [
    ["timeline", 1],
    ["system", 2],
  ] as const) {
    await rows(db, `update lineage set ${column} = '1' where id = (select max(id) from lineage)`);
    const told = await connectTo(db.url, 6);
    expect(told).toEqual([
      expect.stringMatching(
        /^Postgres was restored, failed over or upgraded; messages have a sequence above \d+/,
      ),
    ]);
    expect(await connectTo(db.url, 2)).toEqual([]);
    const [after] = await rows(db, "select nextval('outbox_seq')::float as sequence");
    expect(Math.round((after.sequence - before.sequence) / 1_000_000_000)).toBe(skipped);
  }
  const settings = { DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") };
  const doctor = await ended(["doctor"], settings);
  expect(doctor).toMatchObject({
    code: 0,
    out: expect.stringMatching(/warn +postgres .*Postgres was restored/),
  });
  await rows(db, "update lineage set since = now() - interval '8 days'");
  expect((await ended(["doctor"], settings)).out).toMatch(/ok +postgres/);
});

test("what a managed Postgres does not tell any more, or is only read, is no other one", async ({ db }) => {
  const [before] = await rows(db, "select system, timeline from lineage");
  await rows(db, "update lineage set timeline = null, system = null");
  expect(await connectTo(db.url)).toEqual([]);
  // it is learned once it is told
  expect(await rows(db, "select system, timeline from lineage")).toEqual([before]);
  await rows(db, "update lineage set system = '1'");
  const readOnly = `${db.url}?options=${encodeURIComponent("-c default_transaction_read_only=on")}`;
  expect(await connectTo(readOnly)).toEqual([]);
  await rows(db, "drop function notice_lineage");
  expect(await connectTo(db.url)).toEqual([]);
});

test("a connection that could only read asks again before it writes", async ({ db }) => {
  await rows(db, "update lineage set timeline = '1'");
  const [{ name }] = await rows(db, "select current_database() as name");
  // as a replica is until it is promoted
  const readOnly = (so: boolean) =>
    db.pool.query(
      `begin read write; alter database ${name} set default_transaction_read_only = ${so}; commit`,
    );
  const told: string[] = [];
  await readOnly(true);
  const pool = connect(db.url, ({ message }) => void told.push(message), 1);
  onTestFinished(() => pool.end());
  const once = await pool.query("select pg_backend_pid() as pid");
  expect(told).toEqual([]);
  await readOnly(false);
  const again = await pool.query("select pg_backend_pid() as pid");
  expect(again.rows[0].pid).not.toBe(once.rows[0].pid);
  expect(told).toEqual([expect.stringMatching(/^Postgres was restored/)]);
  const kept = await pool.query("select pg_backend_pid() as pid");
  expect(kept.rows).toEqual(again.rows);
});

test("a login with a worker's rights alone notices it", async ({ db }) => {
  await rows(db, "update lineage set timeline = '1'");
  const asWorker = `${db.url}?options=${encodeURIComponent("-c role=maitred_worker")}`;
  expect(await connectTo(asWorker)).toHaveLength(1);
  await rows(db, "update lineage set timeline = '1'");
  const reader = `${db.url}?options=${encodeURIComponent("-c role=maitred_dashboard")}`;
  expect(await connectTo(reader)).toEqual([]);
});

test("a Postgres that was restored to a point in time is noticed by the first that connects", async () => {
  const home = mkdtempSync(join(tmpdir(), "maitred-home-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const first = await startPostgres(home);
  await migrate(first.url, "maitred_queue");
  expect(await connectTo(first.url)).toEqual([]);
  await first.close();
  const again = await startPostgres(home);
  expect(await connectTo(again.url)).toEqual([]);
  await again.close();

  const data = join(home, "postgres", "data");
  appendFileSync(join(data, "postgresql.auto.conf"), "restore_command = '/bin/false'\n");
  writeFileSync(join(data, "recovery.signal"), "", { mode: 0o666 });
  const restored = await startPostgres(home);
  onTestFinished(restored.close);
  const client = new pg.Client(restored.url);
  await client.connect();
  const recovers = async () => (await client.query("select pg_is_in_recovery() as so")).rows[0].so;
  await expect.poll(recovers).toBe(false);
  expect(await connectTo(restored.url)).toHaveLength(1);
  const { rows: seen } = await client.query(
    "select timeline, sequence is null as first from lineage order by id",
  );
  await client.end();
  expect(seen).toEqual([
    { timeline: "00000001", first: true },
    { timeline: "00000002", first: false },
  ]);
});
