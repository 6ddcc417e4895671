import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../src/embedded/postgres.ts";
import type { Scope } from "../src/lifecycle.ts";
import { makePhotos } from "./photos.ts";
import { startRedis } from "./redis.ts";

/** What a bench stands on until its scope closes. */
export interface Ground {
  /** A folder of its own. */
  work: string;
  /** Where the photos lie. */
  originals: string;
  paths: string[];
  postgresUrl: string;
  /** "" where there is no redis-server. */
  redisUrl: string;
}

/** @param width of the photos, in pixels; see makePhotos. */
export async function layGround(scope: Scope, photos: number, width?: number): Promise<Ground> {
  const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
  scope.onClose("files", () => rmSync(work, { recursive: true, force: true }));
  const originals = join(work, "originals");
  mkdirSync(originals);
  const paths = await makePhotos(originals, photos, width);
  const { url: postgresUrl } = scope.hold("Postgres", await startPostgres(work));
  return { work, originals, paths, postgresUrl, redisUrl: await startRedis(scope) };
}

/** Settings of whoever runs the bench, which its own go before. */
export function givenSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("MAITRED_")));
}
