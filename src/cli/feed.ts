import { startFeed } from "../../workers/feed.ts";
import type { Command } from "./command.ts";
import { serve } from "./service.ts";

export const feed: Command = {
  help: `
usage: maitred feed

Feeds the photos of running backfills into the backfill queue, never more than MAITRED_FEED_LIMIT at once, so that the
queue stays small whatever the archive's size. Several backfills take turns. Nothing is fed while an upload has waited
for longer than MAITRED_LIVE_TARGET_MS. Where it was is in Postgres: it may crash, and several may run. Logs JSON lines
to stderr; SIGTERM ends the page in hand and exits with 0.

  DATABASE_URL=postgres://... MAITRED_QUEUE_URL=redis://... maitred feed
`,
  options: {},

  run: (_args, terminal) => serve(terminal, startFeed),
};
