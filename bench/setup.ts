import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../src/embedded/postgres.ts";
import type { Scope } from "../src/lifecycle.ts";
import { makePhotos } from "./photos.ts";

/** Settings as environment variables: this process reads them, and those that it starts are given them. */
export type Env = Readonly<Record<string, string | undefined>>;

interface BenchSetup {
  /** A folder of its own. */
  work: string;
  /** Where the photos lie. */
  originals: string;
  paths: string[];
  /** Where a queue can be: `redis`, where there is a redis-server, and `postgres`. */
  queues: Record<string, string>;
  /** Settings of whoever runs the bench, over these its own, over these `more`. The queue is on the first of `queues`. */
  env(more?: Env): Env;
}

/**
 * Photos, Postgres and Redis, until the scope closes.
 *
 * @param width of the photos, in pixels; see makePhotos.
 * @param appendOnly whether Redis writes what it has to disk, as docker-compose.yml has it.
 */
export async function setUpBench(
  scope: Scope,
  photos: number,
  { width, appendOnly }: { width?: number; appendOnly?: boolean } = {},
): Promise<BenchSetup> {
  const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
  scope.onClose("files", () => rmSync(work, { recursive: true, force: true }));
  const originals = join(work, "originals");
  mkdirSync(originals);
  const paths = await makePhotos(originals, photos, width);
  const { url: postgres } = await startPostgres(work, { scope });
  const redis = await startRedis(scope, appendOnly ? ["--appendonly", "yes", "--dir", work] : []);
  const given = Object.entries(process.env).filter(([name]) => name.startsWith("MAITRED_"));
  return {
    work,
    originals,
    paths,
    queues: redis ? { redis, postgres } : { postgres },
    env: (more) => ({
      ...Object.fromEntries(given),
      DATABASE_URL: postgres,
      MAITRED_QUEUE_URL: redis ?? postgres,
      MAITRED_FOLDERS: originals,
      // a few photos stand for many
      MAITRED_DUPLICATES: "each",
      MAITRED_PORT: "0",
      MAITRED_API_PORT: "0",
      ...more,
    }),
  };
}

/** @returns undefined where there is no redis-server. */
async function startRedis(scope: Scope, flags: readonly string[]): Promise<string | undefined> {
  if (spawnSync("redis-server", ["--version"]).status !== 0) return undefined;
  const port = 20_000 + (process.pid % 20_000);
  const policy = ["--maxmemory-policy", "noeviction", "--save", ""];
  const child = spawn("redis-server", ["--port", String(port), ...policy, ...flags]);
  scope.onClose("Redis", () => child.kill());
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (/Ready to accept/.test(chunk.toString())) resolve();
    });
  });
  return `redis://127.0.0.1:${port}`;
}
