import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { migrateAll } from "../../src/cli/migrate.ts";
import { readConfig } from "../../src/config.ts";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { listFolder } from "../../src/image/folder.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { startWorker } from "../../workers/moderate.ts";
import { BACKENDS } from "../fixtures.ts";

test.each(BACKENDS)(
  "with the queue on %s, a restart of Postgres under a working worker loses nothing, and has only what was in hand fetched again",
  async (backend) => {
    const home = mkdtempSync(join(tmpdir(), "maitred-outage-"));
    const folder = join(home, "photos");
    const scope = new Scope();
    let postgres = await startPostgres(home);
    const { url } = postgres;
    const config = readConfig({
      DATABASE_URL: url,
      MAITRED_QUEUE_URL: backend === "redis" ? inject("redisUrl") : url,
      MAITRED_QUEUE_PREFIX: `outage_${process.pid}`,
      MAITRED_FOLDERS: folder,
      MAITRED_MODEL: inject("idleModel"),
      MAITRED_PORT: "0",
      MAITRED_LOCK_MS: "2000",
      MAITRED_CONCURRENCY: "4",
    });
    try {
      await migrateAll(config);
      mkdirSync(folder);
      for (let n = 0; n < 60; n++)
        copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, `${n}.jpg`));
      const states: string[] = [];
      const retried: string[] = [];
      let wake = (): void => {};
      const reach = (count: number): Promise<void> =>
        new Promise((resolve) => {
          wake = () => states.length >= count && resolve();
          wake();
        });
      await startWorker(config, createLog("silent"), scope, {
        finished(_photo, _lane, { result }) {
          states.push("failure" in result ? result.failure : result.decision.verdict);
          wake();
        },
        retried: ({ id }) => void retried.push(id),
      });
      const takeIn = new Scope();
      for await (const page of listFolder(folder))
        await openIntake(config, takeIn, () => {}).take(page, "live");
      await takeIn.close();
      await reach(10);
      await postgres.close();
      postgres = await startPostgres(home);
      expect(postgres.url).toBe(url);
      await reach(60);
      expect(new Set(states)).toEqual(new Set(["shown"]));
      expect(retried.length).toBeLessThanOrEqual(4);
    } finally {
      await scope.close();
      await postgres.close();
      rmSync(home, { recursive: true, force: true });
    }
  },
  90_000,
);
