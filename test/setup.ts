import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { collectSamples } from "../samples/collect.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { migrate } from "../src/store/migrate.ts";
import { freePort } from "./free-port.ts";
import { makeModel } from "./models.ts";
import { startRedis } from "./redis.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Server with the migrated database `template`: the embedded one, or that of TEST_DATABASE_URL. */
    postgresUrl: string;
    /** "" where no Redis can be had. */
    redisUrl: string;
    /** How a database is copied fastest here; "" on Postgres 14, which knows one way. */
    copying: string;
    /** Folder of the sample photos. */
    samples: string;
    /**
     * Folder of a model that says the same of all, for where nothing depends on that: the one that ships takes a second of
     * a core to start.
     */
    idleModel: string;
  }
}

/**
 * A real Postgres, and a real Redis where one is on the PATH or REDIS_URL names one. TEST_DATABASE_URL names another
 * Postgres, such as an older one, for a superuser of it and its database postgres: databases and roles are made there, so
 * it is to be one that is thrown away.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = mkdtempSync(join(tmpdir(), "maitred-test-"));
  const given = process.env["TEST_DATABASE_URL"];
  const postgres = given ? { url: given, close: async () => {} } : await startPostgres(home);
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  await admin.query("create database template");
  const { rows: versions } = await admin.query("select current_setting('server_version_num')::int as number");
  project.provide("copying", versions[0].number >= 150_000 ? "strategy file_copy" : "");
  // what is lost where the machine fails is of no use afterwards
  for (const slow of ["fsync", "full_page_writes"]) await admin.query(`alter system set ${slow} = off`);
  await admin.query("select pg_reload_conf()");
  await admin.end();
  const templateUrl = postgres.url.replace(/postgres$/, "template");
  const server = openQueueServer(
    { queueUrl: templateUrl, queueOptions: "", queuePrefix: "maitred_queue" },
    () => {},
  );
  await server.migrate();
  await migrate(templateUrl, "maitred_queue");
  const samples = join(home, "samples");
  await collectSamples(samples);
  project.provide("samples", samples);
  project.provide("idleModel", makeModel(home, "idle-1"));
  const redis = await redisToUse();
  project.provide("postgresUrl", postgres.url);
  project.provide("redisUrl", redis.url);
  return async () => {
    redis.stop();
    await postgres.close();
    rmSync(home, { recursive: true, force: true });
  };
}

async function redisToUse(): Promise<{ url: string; stop(): void }> {
  const given = process.env["REDIS_URL"];
  if (given) return { url: given, stop: () => {} };
  if (spawnSync("redis-server", ["--version"]).status !== 0) {
    if (process.env["CI"])
      throw new Error("expected redis-server on the PATH: in CI no test of it may be skipped");
    return { url: "", stop: () => {} };
  }
  const port = await freePort();
  const child = await startRedis("--port", String(port));
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.kill() };
}
