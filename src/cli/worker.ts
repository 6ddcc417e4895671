import { startWorker } from "../../workers/moderate.ts";
import type { Command } from "./command.ts";
import { serve } from "./service.ts";

export const worker: Command = {
  help: `
usage: maitred worker

Judges photos of both lanes, live ones first, and logs JSON lines to stderr. /metrics, /healthz and /readyz are
served on MAITRED_HOST and MAITRED_PORT. SIGTERM drains within MAITRED_GRACE_MS and exits with 0, a second signal
exits with 1 within three seconds; what was in hand then goes to another worker.

  DATABASE_URL=postgres://... MAITRED_QUEUE_URL=redis://... maitred worker
`,
  options: {},

  run: (_args, terminal) => serve(terminal, (config, log, scope) => startWorker(config, log, scope)),
};
