import { startDeliver } from "../../workers/deliver.ts";
import { exitOnSignal, Scope } from "../lifecycle.ts";
import { createLog } from "../log.ts";
import { type Command, connectedConfig } from "./command.ts";

export const deliver: Command = {
  summary: "tell destinations what became of photos: webhooks, and tags of S3 objects",
  help: `
usage: maitred deliver

Sends what happened to photos to the destinations of maitred destination, at least once, and in order per photo. What
fails is tried again for about three days (MAITRED_DELIVER_ATTEMPTS), and is then dead: maitred deliveries lists it, and
sends it again. Logs JSON lines to stderr. SIGTERM ends what is in hand and exits with 0. Run as many as you like.
docs/effects.md says what a receiver must do.

  DATABASE_URL=postgres://... maitred deliver
`,
  options: {},

  async run(_args, terminal) {
    const config = connectedConfig(terminal);
    const log = createLog(config.logLevel);
    const scope = new Scope();
    exitOnSignal(process, scope, config.graceMs, (err) => log.error({ err }, "not a clean end"));
    await startDeliver(config, log, scope).catch(async (error: unknown) => {
      // a signal during the start ends it, and the signal's handler exits
      if (scope.closing) return;
      await scope.close().catch(() => {});
      throw error;
    });
    return new Promise(() => {});
  },
};
