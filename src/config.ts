import { ConfigError } from "./errors.ts";
import { choice, int, list, networks, origin, path, type Setting, secret, text } from "./setting.ts";

const settings = {
  databaseUrl: secret(text("DATABASE_URL", "", "Postgres, as a postgres:// URL; empty: the embedded one")),
  queueUrl: secret(
    text("MAITRED_QUEUE_URL", "", "redis://, rediss:// or postgres:// URL; empty: the same as DATABASE_URL"),
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
    "photos taken from each queue at once; 0: three batches, at least 24",
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
  fetchTimeoutMs: int("MAITRED_FETCH_TIMEOUT_MS", 10_000, 100, 300_000, "longest one fetch may take"),
  attempts: int("MAITRED_ATTEMPTS", 5, 1, 100, "tries of a photo whose store does not answer"),
  backoffMs: int("MAITRED_BACKOFF_MS", 1_000, 1, 600_000, "wait before the second try; doubles each time"),
  lockMs: int("MAITRED_LOCK_MS", 30_000, 500, 600_000, "how soon a dead worker's photos go to another"),
  graceMs: int("MAITRED_GRACE_MS", 25_000, 0, 600_000, "time to drain after SIGTERM"),
  duplicates: choice(
    "MAITRED_DUPLICATES",
    "once",
    ["once", "each"],
    "whether a model judges the same bytes once, or for each photo",
  ),
  host: text("MAITRED_HOST", "127.0.0.1", "address that HTTP listens on"),
  port: int("MAITRED_PORT", 7070, 0, 65_535, "port that HTTP listens on; 0: any free one"),
  apiPort: int("MAITRED_API_PORT", 7080, 0, 65_535, "port that the API listens on; 0: any free one"),
  queueLimit: int(
    "MAITRED_QUEUE_LIMIT",
    100_000,
    0,
    1_000_000_000,
    "uploads that may wait before the API answers 429 and listeners pause; 0: any number",
  ),
  rateLimit: int(
    "MAITRED_RATE_LIMIT",
    120_000,
    0,
    1_000_000_000,
    "requests of one token in a minute before the API answers 429; 0: any number",
  ),
  authLimit: int(
    "MAITRED_AUTH_LIMIT",
    60,
    0,
    1_000_000_000,
    "wrong tokens from one address in a minute before the API answers 429; 0: any number",
  ),
  trustedProxies: networks(
    "MAITRED_TRUSTED_PROXIES",
    "addresses and networks in front of the API whose X-Forwarded-For is believed, separated by ','",
  ),
  sequencerPad: choice(
    "MAITRED_SEQUENCER_PAD",
    "right",
    ["right", "left"],
    "where the shorter of two S3 sequencers is padded",
  ),
  snsTopics: list(
    "MAITRED_SNS_TOPICS",
    /^arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w.-]+$/,
    "ARNs of the SNS topics that may post events, with commas between; empty: none",
  ),
  snsMaxAgeS: int(
    "MAITRED_SNS_MAX_AGE_S",
    3_600,
    60,
    604_800,
    "seconds after which a message of SNS is refused",
  ),
  gcsAudience: text(
    "MAITRED_GCS_AUDIENCE",
    "",
    "audience of the OIDC tokens that Pub/Sub pushes with; empty: none is taken",
  ),
  gcsAccount: text("MAITRED_GCS_ACCOUNT", "", "email of the account that Pub/Sub pushes as; empty: any"),
  sqsQueues: list(
    "MAITRED_SQS_QUEUES",
    /^https?:\/\/[^/@]+\/\S+$/,
    "URLs of the SQS queues to listen to, with commas between",
  ),
  sqsEndpoint: text("MAITRED_SQS_ENDPOINT", "", "SQS-compatible server; empty: the host of each queue's URL"),
  sqsReceives: int(
    "MAITRED_SQS_RECEIVES",
    4,
    1,
    64,
    "receives of up to ten messages at once, for each queue",
  ),
  sqsVisibilityS: int(
    "MAITRED_SQS_VISIBILITY_S",
    60,
    2,
    43_200,
    "seconds until the messages of a dead listener go to another",
  ),
  removed: choice(
    "MAITRED_REMOVED",
    "keep",
    ["keep", "erase"],
    "tags and history of photos whose object was removed",
  ),
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
  feedLimit: int(
    "MAITRED_FEED_LIMIT",
    0,
    0,
    10_000_000,
    "photos of backfills that wait in the queue at once; 0: 20 batches a worker",
  ),
  liveTargetMs: int(
    "MAITRED_LIVE_TARGET_MS",
    10_000,
    100,
    3_600_000,
    "backfills are not fed while an upload has waited longer",
  ),
  deskUrl: origin(
    "MAITRED_DESK_URL",
    "where browsers reach the desk, as https://photos.example.com; empty: as they ask",
  ),
  deskSessionS: int(
    "MAITRED_DESK_SESSION_S",
    43_200,
    60,
    2_592_000,
    "seconds after which people sign in anew",
  ),
  deskIdleS: int("MAITRED_DESK_IDLE_S", 7_200, 60, 2_592_000, "the same where they did nothing meanwhile"),
  deskBlur: choice(
    "MAITRED_DESK_BLUR",
    "on",
    ["on", "off"],
    "whether photos hidden for a human are blurred at first",
  ),
  reviewLeaseS: int(
    "MAITRED_REVIEW_LEASE_S",
    120,
    5,
    3_600,
    "seconds until the photos of a moderator whose page is gone go to another",
  ),
  auditPerMille: int(
    "MAITRED_AUDIT_PER_MILLE",
    5,
    0,
    50,
    "of a thousand shown or hidden photos, how many are audited",
  ),
  oidcIssuer: text("MAITRED_OIDC_ISSUER", "", "OpenID Connect provider that signs people in; empty: none"),
  oidcClientId: text("MAITRED_OIDC_CLIENT_ID", "", "the desk's id there"),
  oidcClientSecret: secret(
    text("MAITRED_OIDC_CLIENT_SECRET", "", "and its secret; empty: it is a public client"),
  ),
  oidcScopes: text("MAITRED_OIDC_SCOPES", "openid email profile", "what is asked for there"),
  oidcName: text(
    "MAITRED_OIDC_NAME",
    "email",
    "claim that history calls people by; it must be one they cannot choose",
  ),
  oidcRoles: list(
    "MAITRED_OIDC_ROLES",
    /^(\*|[^=]+=.+):(viewer|moderator|operator)$/,
    "rules CLAIM=VALUE:ROLE, or *:ROLE, with commas between, that say who is viewer, moderator or operator",
  ),
  folders: text("MAITRED_FOLDERS", "", "folders that photos may be read from, separated by ':'"),
  keyTemplate: text("MAITRED_KEY_TEMPLATE", "", "what a key tells, such as {listing}/{name}"),
  s3Endpoint: text("MAITRED_S3_ENDPOINT", "", "S3-compatible server; empty: AWS"),
  s3Region: text(
    "MAITRED_S3_REGION",
    "us-east-1",
    "region of the buckets, and of queues whose URL names none",
  ),
  s3PathStyle: choice(
    "MAITRED_S3_PATH_STYLE",
    "auto",
    ["auto", "on", "off"],
    "bucket in the path; auto: with an endpoint",
  ),
  logLevel: choice(
    "MAITRED_LOG_LEVEL",
    "info",
    ["debug", "info", "warn", "error", "silent"],
    "least level that is logged",
  ),
} as const;

export type Config = Readonly<{ [K in keyof typeof settings]: (typeof settings)[K]["fallback"] }>;

/**
 * Reads every setting before it fails, so one start shows every mistake.
 *
 * @throws {ConfigError} CONFIG_INVALID, one line a mistake.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const values = Object.entries(settings).map(([key, setting]) => {
    try {
      return [key, read(setting, env)];
    } catch (error) {
      problems.push((error as Error).message);
      return [key, undefined];
    }
  });
  const known = new Set<string>(Object.values(settings).map((setting) => setting.env));
  for (const name of Object.keys(env)) {
    if (name.startsWith("MAITRED_") && !known.has(name)) problems.push(`${name}: no setting has this name`);
  }
  if (problems.length > 0) throw new ConfigError("CONFIG_INVALID", problems.join("\n"));
  return Object.freeze(Object.fromEntries(values)) as Config;
}

/** Every setting as it is in effect, without secrets: what `maitred config` and the README table print. */
export function describeConfig(
  config: Config,
): { env: string; value: string; fallback: string; help: string }[] {
  return Object.entries(settings).map(([key, setting]) => ({
    env: setting.env,
    value: setting.secret
      ? withoutSecret(String(config[key as keyof Config]))
      : String(config[key as keyof Config]),
    fallback: setting.env === "MAITRED_HOME" ? ".maitred" : String(setting.fallback),
    help: setting.help,
  }));
}

/** A URL without its password, for logs and screens; anything that is no URL becomes `***`. */
export function withoutSecret(value: string): string {
  if (value === "") return "";
  try {
    const url = new URL(value);
    if (!/^(postgres(ql)?|rediss?):$/.test(url.protocol)) return "***";
    return `${url.protocol}//${url.username ? `${url.username}:***@` : ""}${url.host}${url.pathname}`;
  } catch {
    return "***";
  }
}

function read(setting: Setting<unknown>, env: Readonly<Record<string, string | undefined>>): unknown {
  const raw = env[setting.env]?.trim();
  return raw ? setting.read(raw) : setting.fallback;
}
