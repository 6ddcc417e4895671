import { startDeliver } from "../../workers/deliver.ts";
import type { Command } from "./command.ts";
import { serve } from "./service.ts";

export const deliver: Command = {
  help: `
usage: maitred deliver

Sends what happened to photos to the destinations of maitred destination, at least once, and in order per photo. What
fails is tried again for about three days (MAITRED_DELIVER_ATTEMPTS), and is then dead: maitred deliveries lists it, and
sends it again. Logs JSON lines to stderr. SIGTERM ends what is in hand and exits with 0. Run as many as you like.
docs/effects.md says what a receiver must do.

  DATABASE_URL=postgres://... maitred deliver
`,
  options: {},

  run: (_args, terminal) => serve(terminal, startDeliver),
};
