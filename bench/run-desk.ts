/** `npm run bench:desk -- [PHOTOS]`: the desk's answers alone, over a million photos unless another number is given. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { measureDesk } from "./desk.ts";
import { makePhotos } from "./photos.ts";

const work = mkdtempSync(join(tmpdir(), "maitred-bench-"));
const postgres = await startPostgres(work);
const photos = mkdtempSync(join(work, "photos-"));
const files = await makePhotos(photos, 20);
const config = readConfig({
  DATABASE_URL: postgres.url,
  MAITRED_QUEUE_URL: postgres.url,
  MAITRED_FOLDERS: photos,
});
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const measured = await measureDesk(config, Number(process.argv[2] ?? 1_000_000), files, say);
process.stdout.write(`${JSON.stringify(measured, null, 2)}\n`);
await postgres.close();
rmSync(work, { recursive: true, force: true });
process.exit(0);
