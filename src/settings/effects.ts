import { int, networks } from "../setting.ts";

export const effects = {
  webhookAllow: networks(
    "MAITRED_WEBHOOK_ALLOW",
    "networks that webhooks may go to though they are not public, such as 10.0.0.0/8, separated by ','",
  ),
  deliverAttempts: int(
    "MAITRED_DELIVER_ATTEMPTS",
    19,
    1,
    1_000,
    "tries of a delivery before it is dead; 19: three days",
  ),
  deliverBackoffMs: int(
    "MAITRED_DELIVER_BACKOFF_MS",
    5_000,
    1,
    3_600_000,
    "wait before the second try of a delivery; doubles each time, up to twelve hours",
  ),
  deliverTimeoutMs: int(
    "MAITRED_DELIVER_TIMEOUT_MS",
    5_000,
    100,
    30_000,
    "longest a webhook may take, to the end of its answer",
  ),
  deliverConcurrency: int("MAITRED_DELIVER_CONCURRENCY", 64, 1, 1_024, "deliveries at once, of one process"),
  deliverEach: int(
    "MAITRED_DELIVER_EACH",
    8,
    1,
    256,
    "deliveries at once to one destination, of one process",
  ),
  deliverKeepDays: int("MAITRED_DELIVER_KEEP_DAYS", 7, 0, 3_650, "days that what was delivered is kept"),
} as const;
