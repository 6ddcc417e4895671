import { startApi } from "../../workers/api.ts";
import type { Command } from "./command.ts";
import { serve } from "./service.ts";

export const api: Command = {
  help: `
usage: maitred api

Serves MAITRED_HOST and MAITRED_API_PORT: /v1/photos, /v1/events/s3 (also MinIO's webhooks), /v1/events/eventbridge,
/v1/events/sns, /v1/events/gcs, and /openapi.json, which describes them. Callers need a token: maitred token create; SNS
needs MAITRED_SNS_TOPICS instead. Beyond MAITRED_QUEUE_LIMIT waiting uploads it answers 429. Logs JSON lines to stderr.
SIGTERM answers what was asked and exits with 0. Run as many as you like. docs/intake.md says how to point a bucket at it.

  DATABASE_URL=postgres://... MAITRED_QUEUE_URL=redis://... maitred api
`,
  options: {},

  run: (_args, terminal) => serve(terminal, (config, log, scope) => startApi(config, log, scope)),
};
