import { performance } from "node:perf_hooks";
import {
  type BackendFactory,
  createPostgresBackend,
  createRedisBackend,
  type IQueueBackend,
  PostgresConnection,
} from "bullmq";
import { Cluster, type ClusterNode, Redis, ReplyError } from "ioredis";
import { z } from "zod";
import { asError, ConfigError, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { LANES } from "../photo.ts";

export interface QueueSettings {
  /** redis://, rediss:// or postgres://. */
  queueUrl: string;
  /** JSON for Sentinel `{sentinels, name, ...}` or Cluster `{cluster: [{host, port}], ...}`; "" for neither. */
  queueOptions: string;
  /** Redis key prefix, or Postgres schema. */
  queuePrefix: string;
}

/** Where the queues live; what every BullMQ class of this process is made with. */
export interface QueueServer extends Closable {
  kind: "redis" | "postgres";
  /** Passed to BullMQ as `connection`, `prefix` and the backend. */
  connection: object;
  prefix: string;
  backend: BackendFactory<IQueueBackend>;
  /**
   * Checks that the server keeps what it is given.
   *
   * @throws {ConfigError} QUEUE_MISCONFIGURED, saying what to set.
   * @throws {UpstreamError} QUEUE_UNAVAILABLE when it does not answer.
   * @returns its name and version, to show.
   */
  check(): Promise<string>;
  /** Makes the tables of the Postgres backend; on Redis there is nothing to make. */
  migrate(): Promise<void>;
  /** Forgets what is to follow jobs, in hand or not, by what they were asked as; it is BullMQ's own, which has no call for it. */
  forgetNext(asked: readonly string[]): Promise<void>;
}

/** @param onError told of every lost connection; they are made again without end. */
export function openQueueServer(settings: QueueSettings, onError: (error: Error) => void): QueueServer {
  if (/^postgres(ql)?:/.test(settings.queueUrl)) return postgresServer(settings);
  if (/^rediss?:/.test(settings.queueUrl) || settings.queueOptions) return redisServer(settings, onError);
  throw new ConfigError(
    "CONFIG_INVALID",
    "MAITRED_QUEUE_URL: expected a redis://, rediss:// or postgres:// URL",
  );
}

function postgresServer({ queueUrl, queuePrefix: prefix }: QueueSettings): QueueServer {
  // one pool for each BullMQ class of the process; a worker asks from one place at a time
  const connection = {
    connectionString: queueUrl,
    schema: prefix,
    max: 6,
    application_name: "maitred queue",
    keepAlive: true,
  };
  const open = async (migrate = false): Promise<string> => {
    const probe = new PostgresConnection({ ...connection, max: 1, ...(migrate && { migrate }) });
    // a connection that BullMQ holds and that breaks between two statements fails the next one
    probe.pool.on("connect", (client) => void client.on("error", () => {}));
    try {
      await probe.waitUntilReady();
      if (migrate) {
        // BullMQ makes a sequence with the first job of a queue, which is more than a worker's role may
        const make = "select next_job_id($1) where to_regclass(job_id_seq_name($1)) is null";
        for (const lane of LANES) await probe.pool.query(make, [lane]);
      }
      const { rows } = await probe.pool.query("show server_version");
      return `Postgres ${(rows[0] as { server_version: string }).server_version}`;
    } catch (cause) {
      const error = asError(cause);
      if (
        error.name === "SchemaMigrationRequiredError" ||
        /has not been initialized|migrat/i.test(error.message)
      ) {
        throw new ConfigError(
          "QUEUE_MISCONFIGURED",
          "the queue has no tables in Postgres: run maitred migrate first",
          {
            cause,
          },
        );
      }
      throw new UpstreamError("QUEUE_UNAVAILABLE", `Postgres: ${reasonOf(error)}: ${POSTGRES_WHERE}`, {
        cause,
      });
    } finally {
      await probe.close();
    }
  };
  return {
    kind: "postgres",
    connection,
    prefix,
    backend: createPostgresBackend as unknown as BackendFactory<IQueueBackend>,
    check: () => open(),
    migrate: async () => void (await open(true)),
    async forgetNext(asked) {
      const probe = new PostgresConnection({ ...connection, max: 1 });
      try {
        await probe.waitUntilReady();
        await probe.pool.query("delete from dedup_next where dedup_id = any ($1)", [asked]);
      } finally {
        await probe.close();
      }
    },
    close: async () => {},
  };
}

function redisServer(settings: QueueSettings, onError: (error: Error) => void): QueueServer {
  const redis = connectRedis(settings);
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
    onError(error);
  });
  // in a cluster all keys of a queue must lie on one node, which the braces ask for
  const prefix = redis instanceof Cluster ? `{${settings.queuePrefix}}` : settings.queuePrefix;
  return {
    kind: "redis",
    connection: redis,
    prefix,
    backend: createRedisBackend as unknown as BackendFactory<IQueueBackend>,
    check: () => inTime(checkRedis(redis), () => last).catch(refused),
    migrate: async () => {},
    async forgetNext(asked) {
      const keys = LANES.flatMap((lane) => asked.map((ask) => `${prefix}:${lane}:dn:${ask}`));
      if (keys.length > 0) await redis.del(keys);
    },
    close: async () => {
      redis.disconnect();
    },
  };
}

function connectRedis({ queueUrl, queueOptions }: QueueSettings): Redis | Cluster {
  // BullMQ's workers wait for ever rather than fail while the server is away
  // one that is gone without a word is noticed too: no command waits longer than ten seconds for a job
  const common = {
    maxRetriesPerRequest: null,
    enableReadyCheck: true,
    socketTimeout: 60_000,
    keepAlive: 10_000,
    // a primary that became a replica keeps its connections: the name leads to another one by now. What it refused is not sent
    // again, as the scripts of a pipeline may be unknown there; whoever asked for it is told
    reconnectOnError: ({ message }: Error) => message.startsWith("READONLY") && mayReconnect(),
  };
  if (!queueOptions) return new Redis(queueUrl, common);
  const { cluster, redisOptions, ...rest } = readOptions(queueOptions);
  if (cluster) return new Cluster(cluster, { redisOptions: { ...common, ...redisOptions }, ...rest });
  const own: object = { ...common, ...rest };
  return queueUrl ? new Redis(queueUrl, own) : new Redis(own);
}

/** Twice a second at most, in a whole process: one that stays read-only would be connected to again with each command. */
function mayReconnect(): boolean {
  const now = performance.now();
  if (now < reconnectsFrom) return false;
  reconnectsFrom = now + 500;
  return true;
}
let reconnectsFrom = 0;

function readOptions(queueOptions: string): z.infer<typeof optionsShape> {
  try {
    return optionsShape.parse(JSON.parse(queueOptions));
  } catch (cause) {
    const such = `{"sentinels": [...], "name": ...} or {"cluster": [{"host": ..., "port": ...}]}`;
    throw new ConfigError("CONFIG_INVALID", `MAITRED_QUEUE_OPTIONS: expected JSON such as ${such}`, {
      cause,
    });
  }
}

async function checkRedis(redis: Redis | Cluster): Promise<string> {
  const nodes = redis instanceof Cluster ? await masters(redis) : [redis];
  let version = "";
  for (const node of nodes) {
    const info = parseInfo(await node.info());
    version = info["redis_version"] ?? "";
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (major < 6 || (major === 6 && minor < 2)) {
      throw new ConfigError("QUEUE_MISCONFIGURED", `Redis: expected version 6.2 or newer, got ${version}`);
    }
    const policy = info["maxmemory_policy"];
    if (policy !== "noeviction") {
      throw new ConfigError(
        "QUEUE_MISCONFIGURED",
        `Redis: expected maxmemory-policy noeviction, got ${policy}: any other drops jobs when memory runs out; run CONFIG SET maxmemory-policy noeviction, and put it into redis.conf`,
      );
    }
  }
  return `Redis ${version}`;
}

/** What Redis answered in place of what it was asked. It is not passed on as a cause: its command may hold the password. */
function refused(thrown: unknown): never {
  if (!(thrown instanceof ReplyError)) throw thrown;
  const { message } = asError(thrown);
  const todo = REFUSALS[message.split(" ", 1)[0]!];
  if (!todo) throw new UpstreamError("QUEUE_UNAVAILABLE", `Redis: ${message}: ${REDIS_WHERE}`);
  throw new ConfigError("QUEUE_MISCONFIGURED", `Redis: ${todo}`);
}

async function masters(cluster: Cluster): Promise<Redis[]> {
  await cluster.ping();
  return cluster.nodes("master");
}

function parseInfo(info: string): Record<string, string> {
  return Object.fromEntries(
    info.split(/\r?\n/).map((line) => line.split(/:(.*)/s).slice(0, 2) as [string, string]),
  );
}

/**
 * ioredis connects again without end to a server that is away; a check at start must not.
 *
 * @param last why it could not connect, if it could not.
 */
async function inTime<T>(answer: Promise<T>, last: () => Error | undefined): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = last();
      const why = error ? `: ${reasonOf(error)}` : "";
      const message = `Redis: no answer within ${CHECK_MS} ms${why}: ${REDIS_WHERE}`;
      reject(new UpstreamError("QUEUE_UNAVAILABLE", message));
    }, CHECK_MS);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** Of a name with several addresses, of which none answers, Node says nothing but the code. */
function reasonOf(error: Error): string {
  return error.message || String((error as { code?: unknown }).code);
}

const optionsShape = z.looseObject({
  cluster: z.array(z.custom<ClusterNode>()).min(1).optional(),
  redisOptions: z.looseObject({}).optional(),
});
const CHECK_MS = 10_000;
const POSTGRES_WHERE =
  "check MAITRED_QUEUE_URL, or DATABASE_URL where that is not set, and that Postgres runs and lets this role in";
const REDIS_WHERE = "check MAITRED_QUEUE_URL and MAITRED_QUEUE_OPTIONS, and that the server runs";
const WHERE = "mend MAITRED_QUEUE_URL, as redis://USER:PASSWORD@HOST:6379, or MAITRED_QUEUE_OPTIONS";
const REFUSALS: Readonly<Record<string, string>> = {
  NOAUTH: `expected a password, got none: ${WHERE}`,
  WRONGPASS: `it does not take this user and password: ${WHERE}`,
  NOPERM:
    "its user may not do all that is needed: allow it INFO, scripts, and all keys of MAITRED_QUEUE_PREFIX",
};
