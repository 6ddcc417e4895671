import { choice, int, path, secret, serverUrl, text } from "../setting.ts";

/** Settings of what judges: its servers, its model, its limits. */
export const judging = {
  databaseUrl: serverUrl(
    "DATABASE_URL",
    ["postgres", "postgresql"],
    "Postgres, as a postgres:// URL; empty: the embedded one",
  ),
  queueUrl: serverUrl(
    "MAITRED_QUEUE_URL",
    ["redis", "rediss", "postgres", "postgresql"],
    "redis://, rediss:// or postgres:// URL; empty: the same as DATABASE_URL",
  ),
  queueOptions: secret(
    text("MAITRED_QUEUE_OPTIONS", "", "JSON for ioredis: {sentinels, name} or {cluster: [{host, port}]}"),
  ),
  queuePrefix: text(
    "MAITRED_QUEUE_PREFIX",
    "maitred_queue",
    "Redis key prefix, or Postgres schema, of the queues",
  ),
  home: path("MAITRED_HOME", ".maitred", "where embedded state lives"),
  model: path("MAITRED_MODEL", "", "model folder; empty: the active one in Postgres, or the one that ships"),
  models: path("MAITRED_MODELS", "", "where model folders lie, by id, besides those that ship"),
  variant: text(
    "MAITRED_VARIANT",
    "auto",
    "which of the model's graphs runs, such as int8; auto: by provider",
  ),
  policy: path("MAITRED_POLICY", "", "policy file; empty: the one that ships"),
  provider: choice("MAITRED_PROVIDER", "auto", ["auto", "cpu", "cuda"], "where inference runs"),
  maxBatch: int("MAITRED_MAX_BATCH", 0, 0, 512, "photos in one model run; 0: 8 on the CPU, 64 on CUDA"),
  maxWaitMs: int("MAITRED_MAX_WAIT_MS", 20, 0, 1_000, "longest the oldest photo of a batch waits"),
  concurrency: int(
    "MAITRED_CONCURRENCY",
    0,
    0,
    2_048,
    "photos taken from each queue at once; 0: three batches or six a core, 24 to 96 on CPUs",
  ),
  threads: int(
    "MAITRED_THREADS",
    0,
    0,
    256,
    "cores of one CPU model run; 0: shared out among up to four runs at once",
  ),
  maxBytes: int(
    "MAITRED_MAX_BYTES",
    60_000_000,
    1_000,
    2_000_000_000,
    "largest object that is judged, in bytes",
  ),
  maxPixels: int(
    "MAITRED_MAX_PIXELS",
    50_000_000,
    10_000,
    1_000_000_000,
    "largest image, width x height; four times as many where it is decoded row by row",
  ),
  fetchTimeoutMs: int(
    "MAITRED_FETCH_TIMEOUT_MS",
    10_000,
    100,
    300_000,
    "longest wait for the first bytes of an S3 object, and for more of them; twice that for all",
  ),
  attempts: int("MAITRED_ATTEMPTS", 5, 1, 100, "tries of a photo whose store does not answer"),
  backoffMs: int(
    "MAITRED_BACKOFF_MS",
    1_000,
    1,
    60_000,
    "wait before the second try; doubles each time, up to a minute",
  ),
  patienceMs: int(
    "MAITRED_PATIENCE_MS",
    86_400_000,
    0,
    2_592_000_000,
    "how long an upload waits, whose store answers for none of its bucket, before it may fail",
  ),
  lockMs: int(
    "MAITRED_LOCK_MS",
    30_000,
    500,
    600_000,
    "when a dead worker's photos go to another, or up to half as much later",
  ),
  graceMs: int("MAITRED_GRACE_MS", 25_000, 0, 600_000, "time to drain after SIGTERM"),
  duplicates: choice(
    "MAITRED_DUPLICATES",
    "once",
    ["once", "each"],
    "whether a model judges the same bytes once, or for each photo",
  ),
} as const;
