/** `npm run bench:desk`: how long the desk's answers take. */
import { readConfig } from "../src/config.ts";
import { runBench } from "./bench.ts";
import { measureDesk } from "./desk.ts";
import { setUpBench } from "./setup.ts";

const about = `Times the desk's answers over HTTP, a hundred of each kind, one after the other, while sixteen other moderators hold
photos. All of it is on this machine.`;
const options = { photos: [1_000_000, "that are known, a fifth of which wait, at least 100000"] } as const;

await runBench("bench:desk", about, options, async ({ values, scope, say, keep }) => {
  const { paths, queues, env } = await setUpBench(scope, 20);
  const config = readConfig(env({ MAITRED_QUEUE_URL: queues["postgres"] }));
  keep(await measureDesk(config, values.photos, paths, say));
});
