import { startWorker } from "../../workers/moderate.ts";
import { exitOnSignal, Scope } from "../lifecycle.ts";
import { createLog } from "../log.ts";
import { type Command, connectedConfig } from "./command.ts";

export const worker: Command = {
  summary: "take photos from the queues and judge them, until told to stop",
  help: `
usage: maitred worker

Judges photos of both lanes, live ones first, and logs JSON lines to stderr. /metrics, /healthz and /readyz are
served on MAITRED_HOST and MAITRED_PORT. SIGTERM drains within MAITRED_GRACE_MS and exits with 0, a second signal
exits with 1 at once; what was in hand then goes to another worker.

  DATABASE_URL=postgres://... MAITRED_QUEUE_URL=redis://... maitred worker
`,
  options: {},

  async run(_args, terminal) {
    const config = connectedConfig(terminal);
    const log = createLog(config.logLevel);
    const scope = new Scope();
    exitOnSignal(process, scope, config.graceMs, (err) => log.error({ err }, "not a clean end"));
    await startWorker(config, log, scope).catch((error: unknown) => {
      // a signal during the start ends it, and the signal's handler exits
      if (!scope.closing) throw error;
    });
    return new Promise(() => {});
  },
};
