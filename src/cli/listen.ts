import { startListening } from "../../workers/listen.ts";
import type { Command } from "./command.ts";
import { serve } from "./service.ts";

export const listen: Command = {
  help: `
usage: maitred listen

Polls the queues of MAITRED_SQS_QUEUES for notifications of S3 or MinIO and events of EventBridge, bare or from SNS, and
for photos as POST /v1/photos takes them. A message is deleted once what it says is committed; what cannot be understood
is put aside: maitred events list. While MAITRED_QUEUE_LIMIT uploads wait, or a server is away, it receives nothing.
Credentials come from where the AWS SDK looks. /metrics, /healthz and /readyz are served on MAITRED_HOST and
MAITRED_PORT. Logs JSON lines to stderr. SIGTERM ends what is in hand and exits with 0. Run as many as you like.

  MAITRED_SQS_QUEUES=https://sqs.eu-west-1.amazonaws.com/123456789012/uploads DATABASE_URL=postgres://... maitred listen
`,
  options: {},

  run: (_args, terminal) => serve(terminal, startListening),
};
