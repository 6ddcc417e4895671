import { resolve } from "node:path";
import { ConfigError } from "./errors.ts";

/** One environment variable: its name, what it is for, what is used without it, and how it is read. */
interface Setting<T> {
  env: string;
  help: string;
  fallback: T;
  /** Printed as `***`, or for a URL without its password. */
  secret?: boolean;
  /** @throws {Error} with a message that names the variable, what was expected and what came. */
  read(raw: string): T;
}

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
  host: text("MAITRED_HOST", "127.0.0.1", "address that HTTP listens on"),
  port: int("MAITRED_PORT", 7070, 0, 65_535, "port that HTTP listens on; 0: any free one"),
  apiPort: int("MAITRED_API_PORT", 7080, 0, 65_535, "port that the API listens on; 0: any free one"),
  queueLimit: int(
    "MAITRED_QUEUE_LIMIT",
    100_000,
    0,
    1_000_000_000,
    "uploads that may wait before the API answers 429; 0: any number",
  ),
  sequencerPad: choice(
    "MAITRED_SEQUENCER_PAD",
    "right",
    ["right", "left"],
    "where the shorter of two S3 sequencers is padded",
  ),
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
  folders: text("MAITRED_FOLDERS", "", "folders that photos may be read from, separated by ':'"),
  keyTemplate: text("MAITRED_KEY_TEMPLATE", "", "what a key tells, such as {listing}/{name}"),
  s3Endpoint: text("MAITRED_S3_ENDPOINT", "", "S3-compatible server; empty: AWS"),
  s3Region: text("MAITRED_S3_REGION", "us-east-1", "region of the buckets"),
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

function text(env: string, fallback: string, help: string): Setting<string> {
  return { env, help, fallback, read: (raw) => raw };
}

function path(env: string, fallback: string, help: string): Setting<string> {
  return { env, help, fallback: fallback && resolve(fallback), read: (raw) => resolve(raw) };
}

/** A whole number with a unit in its name and a range in its declaration. */
function int(env: string, fallback: number, min: number, max: number, help: string): Setting<number> {
  return {
    env,
    help,
    fallback,
    read(raw) {
      const value = Number(raw);
      if (Number.isInteger(value) && value >= min && value <= max) return value;
      throw new Error(`${env}: expected a whole number ${min} to ${max}, got ${JSON.stringify(raw)}`);
    },
  };
}

function choice<T extends string>(env: string, fallback: T, options: readonly T[], help: string): Setting<T> {
  return {
    env,
    help: `${help} (${options.join(", ")})`,
    fallback,
    read(raw) {
      const found = options.find((option) => option === raw);
      if (found !== undefined) return found;
      throw new Error(`${env}: expected one of ${options.join(", ")}, got ${JSON.stringify(raw)}`);
    },
  };
}

function secret<T>(setting: Setting<T>): Setting<T> {
  return { ...setting, secret: true };
}
