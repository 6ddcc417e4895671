/** `npm run bench:grid`: how smooth the review grid is in a real browser. */
import { join } from "node:path";
import { readConfig } from "../src/config.ts";
import { runBench } from "./bench.ts";
import { measureGrid } from "./grid.ts";
import { linkPhotos } from "./photos.ts";
import { setUpBench } from "./setup.ts";

const about = `Reviews photos in a headless Chromium until all are in the grid, and times its frames while they are scrolled through and
gone through with the keyboard. The API, Postgres and the browser, which draws without a GPU, share the machine.`;
const options = { photos: [2_000, "100 to 2000, which is as many as the page keeps"] } as const;

await runBench("bench:grid", about, options, async ({ values: { photos }, scope, say, keep }) => {
  if (photos < 100 || photos > 2_000) throw new Error(`--photos: expected 100 to 2000, got ${photos}`);
  const { work, paths, queues, env } = await setUpBench(scope, 20);
  const folder = join(work, "photos");
  linkPhotos(paths, folder, photos);
  const config = readConfig(env({ MAITRED_QUEUE_URL: queues["postgres"], MAITRED_FOLDERS: folder }));
  keep(await measureGrid(config, { folder, photos }, say));
});
