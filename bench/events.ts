import { spawn } from "node:child_process";
import { join } from "node:path";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { createToken } from "../src/http/tokens.ts";
import { packageRoot } from "../src/package-root.ts";
import { connect } from "../src/store/pool.ts";
import { addToken } from "../src/store/tokens.ts";
import type { Load, Loaded } from "./load.ts";

export interface EventRates {
  /** One event a request. */
  single: Loaded & { connections: number };
  /** 1,000 events a request. */
  bulk: Loaded & { connections: number };
}

/**
 * Events that one process of the API takes: 202 says that they are committed, with synchronous_commit, and queued.
 * No worker runs. The load comes from another process.
 */
export async function measureEvents(config: Config, seconds: number): Promise<EventRates> {
  const token = await prepare(config);
  const api = await startProcess(config, "api");
  try {
    const measure = async (connections: number, eventsEach: number) => ({
      connections,
      ...(await runLoad({ url: api.url, token, connections, eventsEach, seconds })),
    });
    return { single: await measure(64, 1), bulk: await measure(4, 1_000) };
  } finally {
    await api.stop();
  }
}

/** An empty database whose commits reach the disk, and a token that may do everything here. */
export async function prepare(config: Config): Promise<string> {
  await migrateAll(config);
  const db = connect(config.databaseUrl, () => {}, 1);
  const { id, token, hash } = createToken();
  try {
    const { rows } = await db.query<{ name: string }>("select current_database() as name");
    // the embedded one does without, which would flatter
    await db.query(`alter database ${rows[0]!.name} set synchronous_commit = 'on'`);
    await db.query("truncate photos, tags, verdicts, object_order, unqueued cascade");
    await addToken(db, { id, name: "bench", hash, scopes: ["ingest", "read"] });
  } finally {
    await db.end();
  }
  return token;
}

export interface Process {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** A process of maitred as in production, once it says where it listens. */
export async function startProcess(config: Config, command: "api" | "worker"): Promise<Process> {
  const env = {
    ...process.env,
    DATABASE_URL: config.databaseUrl,
    MAITRED_QUEUE_URL: config.queueUrl,
    MAITRED_QUEUE_PREFIX: config.queuePrefix,
    MAITRED_S3_ENDPOINT: config.s3Endpoint,
    // the local S3 asks for none, and the SDK for some
    AWS_ACCESS_KEY_ID: "bench",
    AWS_SECRET_ACCESS_KEY: "bench",
    MAITRED_DUPLICATES: config.duplicates,
    MAITRED_API_PORT: "0",
    MAITRED_PORT: "0",
    MAITRED_QUEUE_LIMIT: "0",
    MAITRED_RATE_LIMIT: "0",
  };
  const child = spawn(process.execPath, [join(packageRoot(), "bin/maitred.js"), command], {
    stdio: ["ignore", "inherit", "pipe"],
    env,
  });
  const exit = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      // nobody reads the log any further, and it must not fill its pipe
      if (said.length > 100_000) return;
      said += chunk;
      const [, found] = /"url":"([^"]+)"/.exec(said) ?? [];
      if (found) resolve(found);
    });
    void exit.then(() => reject(new Error(`maitred ${command} ended: ${said}`)));
  });
  return {
    url,
    pid: child.pid!,
    async stop() {
      child.kill("SIGTERM");
      await exit;
    },
  };
}

function runLoad(load: Load): Promise<Loaded> {
  return new Promise((resolve, reject) => {
    const args = [join(packageRoot(), "dist/bench/load.js"), JSON.stringify(load)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    child.on("close", (code) =>
      code === 0 ? resolve(JSON.parse(said)) : reject(new Error(`load: ${code}`)),
    );
  });
}
