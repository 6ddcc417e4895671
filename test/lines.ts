import { openIntake } from "../src/cli/intake.ts";
import { codeOf } from "../src/errors.ts";
import { createLog } from "../src/log.ts";
import type { Lane, PhotoMetadata, PhotoRef } from "../src/photo.ts";
import { type RunningWorker, startWorker } from "../workers/moderate.ts";
import { type Backend, test as base } from "./fixtures.ts";

interface Line {
  worker: RunningWorker;
  /** Registers, queues, and waits until every one of the photos has left the line. Rows by key. */
  judge(
    photos: PhotoRef[],
    lane?: Lane,
    known?: PhotoMetadata,
  ): Promise<Map<string, Record<string, unknown>>>;
  retries: string[];
}

export type Start = (backend: Backend, env?: Record<string, string>) => Promise<Line>;

/** A whole worker, which takes from the store that `env` names. */
export const test = base.extend<{ start: Start }>({
  start: async ({ configFor, db, scope }, use) => {
    await use(async (backend, env = {}) => {
      const config = configFor(backend, {
        MAITRED_BACKOFF_MS: "20",
        MAITRED_ATTEMPTS: "3",
        MAITRED_PATIENCE_MS: "0",
        ...env,
      });
      const left = new Set<string>();
      const retries: string[] = [];
      let wake = (): void => {};
      const worker = await startWorker(config, createLog("silent"), scope, {
        finished(photo) {
          left.add(photo.id);
          wake();
        },
        retried: (_photo, _lane, error) => void retries.push(codeOf(error)),
      });
      const intake = openIntake(config, scope, () => {});
      return {
        worker,
        retries,
        async judge(photos, lane = "live", known = {}) {
          left.clear();
          let ids: string[] | undefined;
          const all = new Promise<void>((resolve) => {
            wake = () => {
              if (ids?.every((id) => left.has(id))) resolve();
            };
          });
          ids = (await intake.take(photos, lane, { known, again: true })).ids;
          wake();
          await all;
          const { rows } = await db.pool.query("select * from photos");
          return new Map(rows.map((row) => [row.key, row]));
        },
      };
    });
  },
});
