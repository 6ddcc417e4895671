/** What commands say where the database has another schema than theirs. */
import { afterEach, describe, expect } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { run } from "../../src/cli/run.ts";
import { test } from "../fixtures.ts";

const asked: Record<string, string[]> = {
  api: [],
  backfill: ["list"],
  deliver: [],
  deliveries: ["list"],
  destination: ["list"],
  enqueue: ["--failed"],
  events: ["list"],
  feed: [],
  forget: ["photos/a.jpg"],
  labels: ["export", "./labelled"],
  listen: [],
  model: ["list"],
  policy: ["diff", "policy.yaml"],
  queue: ["status"],
  rollups: ["check"],
  session: ["list"],
  sweep: ["photos"],
  token: ["list"],
  worker: [],
};
/** That ask Postgres nothing, make its schema, or say what it is in a table. */
const others = ["calibrate", "classify", "config", "doctor", "evaluate", "migrate", "up"];

test("every command that asks Postgres is tried here", () => {
  expect([...Object.keys(asked), ...others].sort()).toEqual(Object.keys(commands).sort());
});

// processes listen to signals from their start on
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
const before = SIGNALS.map((signal) => process.listeners(signal));
afterEach(() => {
  for (const [index, signal] of SIGNALS.entries()) {
    process.removeAllListeners(signal);
    for (const listener of before[index]!) process.on(signal, listener);
  }
});

describe.each(Object.keys(asked))("maitred %s", (name) => {
  test("says which command mends it", async ({ db }) => {
    const said: string[] = [];
    const terminal = {
      env: { DATABASE_URL: db.url, MAITRED_SQS_QUEUES: "http://127.0.0.1:9/1/uploads", MAITRED_PORT: "0" },
      print: (line: string) => void said.push(line),
      say: (text: string) => void said.push(text),
      columns: 0,
      stdin: process.stdin,
    };
    await db.pool.query("delete from pgmigrations where id = (select max(id) from pgmigrations)");
    expect([await run([name, ...asked[name]!], terminal), said.join("")]).toEqual([
      2,
      expect.stringMatching(/the database lacks \w+: run maitred migrate first/),
    ]);
    await db.pool.query("insert into pgmigrations (name, run_on) values ('9999_later', now())");
    said.length = 0;
    expect([await run([name, ...asked[name]!], terminal), said.join("")]).toEqual([
      2,
      expect.stringMatching(/which this version does not know: use a newer maitred/),
    ]);
  });
});
