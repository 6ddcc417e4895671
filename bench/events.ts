import { migrateAll } from "../src/cli/migrate.ts";
import { readConfig } from "../src/config.ts";
import { createToken } from "../src/http/tokens.ts";
import { connect } from "../src/store/pool.ts";
import { addToken } from "../src/store/tokens.ts";
import { startBeside, startServer } from "./child.ts";
import type { Load, Loaded } from "./load.ts";
import type { Env } from "./setup.ts";

interface EventRates {
  /** One event a request. */
  single: Loaded & { connections: number };
  /** 1,000 events a request. */
  bulk: Loaded & { connections: number };
}

/**
 * Events that one process of the API takes: 202 says that they are committed, with synchronous_commit, and queued.
 * No worker runs. The load comes from another process.
 */
export async function measureEvents(env: Env, seconds: number): Promise<EventRates> {
  const token = await prepare(env);
  const api = await startServer(env, "api");
  const measure = async (connections: number, eventsEach: number) => {
    const load: Load = { url: api.url, token, connections, eventsEach, seconds };
    return { connections, ...(JSON.parse(await startBeside(env, "load", load).done) as Loaded) };
  };
  try {
    return { single: await measure(64, 1), bulk: await measure(4, 1_000) };
  } finally {
    await api.end();
  }
}

/** An empty database whose commits reach the disk, and a token that may do everything here. */
export async function prepare(env: Env): Promise<string> {
  const config = readConfig(env);
  await migrateAll(config);
  const db = connect(config.databaseUrl, () => {}, 1);
  const { id, token, hash } = createToken();
  try {
    const { rows } = await db.query<{ name: string }>("select current_database() as name");
    // the embedded one does without, which would flatter
    await db.query(`alter database ${rows[0]!.name} set synchronous_commit = 'on'`);
    await db.query("truncate photos, tags, verdicts, object_order, unqueued, tokens cascade");
    await addToken(db, { id, name: "bench", hash, scopes: ["ingest", "read"] });
  } finally {
    await db.end();
  }
  return token;
}
