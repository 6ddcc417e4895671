/** `node dist/bench/run-sweep.js [KEYS]`: the sweep alone, which takes minutes over a million keys. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { measureSweep } from "./sweep.ts";

const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
const postgres = await startPostgres(work);
const config = readConfig({
  DATABASE_URL: postgres.url,
  MAITRED_QUEUE_URL: process.env["REDIS_URL"] ?? postgres.url,
});
const measured = await measureSweep(config, Number(process.argv[2] ?? 1_000_000));
process.stdout.write(`${JSON.stringify(measured, null, 2)}\n`);
await postgres.close();
rmSync(work, { recursive: true, force: true });
process.exit(0);
