import { performance } from "node:perf_hooks";
import { type BackendFactory, type IQueueBackend, PostgresConnection } from "bullmq";
import { Cluster, type ClusterNode, Redis } from "ioredis";
import { z } from "zod";
import { asError, ConfigError, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { LANES } from "../photo.ts";
import { checkRedis, evictionOf, reasonOf } from "./redis-check.ts";
import { postgresBackend, redisBackend } from "./server-clock.ts";

interface QueueSettings {
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
   * @throws {ConfigError} saying what to set.
   * @throws {UpstreamError} QUEUE_UNAVAILABLE when it does not answer.
   * @returns its name and version, to show.
   */
  check(): Promise<string>;
  /**
   * Why it may drop what it was given, by a setting that was changed since `check`, and what to do; undefined where it may not.
   *
   * @throws {UpstreamError} QUEUE_UNAVAILABLE when it does not answer.
   */
  eviction(): Promise<string | undefined>;
  /** False where what is asked of it waits for a connection. */
  connected(): boolean;
  /** Makes the tables of the Postgres backend; on Redis there is nothing to make. */
  migrate(): Promise<void>;
  /** Forgets what is to follow jobs, in hand or not, by what they were asked as; it is BullMQ's own, which has no call for it. */
  forgetNext(asked: readonly string[]): Promise<void>;
}

/**
 * @param onError told of every lost connection; they are made again without end.
 * @param onBack told once one is made again, on Redis.
 */
export function openQueueServer(
  settings: QueueSettings,
  onError: (error: Error) => void,
  onBack: () => void = () => {},
): QueueServer {
  if (/^postgres(ql)?:/.test(settings.queueUrl)) return postgresServer(settings);
  if (/^rediss?:/.test(settings.queueUrl) || settings.queueOptions)
    return redisServer(settings, onError, onBack);
  throw new ConfigError("MAITRED_QUEUE_URL: expected a redis://, rediss:// or postgres:// URL");
}

function postgresServer({ queueUrl, queuePrefix: prefix }: QueueSettings): QueueServer {
  // one pool for each BullMQ class of the process; a worker asks from one place at a time
  const connection = {
    connectionString: queueUrl,
    schema: prefix,
    max: 6,
    application_name: "maitred queue",
    // BullMQ waits for ever for a server that is gone without a word, and takes nothing meanwhile
    connectionTimeoutMillis: 65_000,
    statement_timeout: 60_000,
    query_timeout: 65_000,
    keepAlive: true,
    // Linux would wait two hours
    keepAliveInitialDelayMillis: 10_000,
  };
  const open = async (migrate = false): Promise<string> => {
    const probe = new PostgresConnection({
      ...connection,
      max: 1,
      connectionTimeoutMillis: 10_000,
      // an index of a large queue takes as long as it takes
      ...(migrate && { migrate, statement_timeout: 0, query_timeout: 0 }),
    });
    // a connection that BullMQ holds and that breaks between two statements fails the next one
    probe.pool.on("connect", (client) => void client.on("error", () => {}));
    try {
      await probe.waitUntilReady();
      const { rows: schemas } = await probe.pool.query("select current_schema() as schema");
      if ((schemas[0] as { schema: string | null }).schema !== prefix)
        throw new ConfigError(`the queue: ${UNPOOLED}`);
      if (migrate) {
        // BullMQ makes a sequence with the first job of a queue, which is more than a worker's role may
        const make = "select next_job_id($1) where to_regclass(job_id_seq_name($1)) is null";
        for (const lane of LANES) await probe.pool.query(make, [lane]);
      }
      const { rows } = await probe.pool.query("show server_version");
      return `Postgres ${(rows[0] as { server_version: string }).server_version}`;
    } catch (cause) {
      if (cause instanceof ConfigError) throw cause;
      const error = asError(cause);
      if (
        error.name === "SchemaMigrationRequiredError" ||
        /has not been initialized|migrat/i.test(error.message)
      ) {
        throw new ConfigError("the queue has no tables in Postgres: run maitred migrate first", {
          cause,
        });
      }
      const { code = "" } = error as { code?: string };
      // one that is there, and full
      const todo = POSTGRES_REFUSALS[code] ?? (code.startsWith("53") ? "" : POSTGRES_WHERE);
      const message = ["Postgres", reasonOf(error), todo].filter(Boolean).join(": ");
      throw new UpstreamError("QUEUE_UNAVAILABLE", message, { cause });
    } finally {
      await probe.close();
    }
  };
  return {
    kind: "postgres",
    connection,
    prefix,
    backend: postgresBackend,
    check: () => open(),
    eviction: async () => undefined,
    connected: () => true,
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

function redisServer(
  settings: QueueSettings,
  onError: (error: Error) => void,
  onBack: () => void,
): QueueServer {
  const redis = connectRedis(settings);
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
    onError(error);
  });
  redis.on("ready", () => {
    if (last) onBack();
    last = undefined;
  });
  // in a cluster all keys of a queue must lie on one node, which the braces ask for
  const prefix = redis instanceof Cluster ? `{${settings.queuePrefix}}` : settings.queuePrefix;
  return {
    kind: "redis",
    connection: redis,
    prefix,
    backend: redisBackend(redis, prefix),
    check: () => checkRedis(redis, prefix, () => last),
    eviction: () => evictionOf(redis),
    connected: () => redis.status === "ready",
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
    throw new ConfigError(`MAITRED_QUEUE_OPTIONS: expected JSON such as ${such}`, {
      cause,
    });
  }
}

const optionsShape = z.looseObject({
  cluster: z.array(z.custom<ClusterNode>()).min(1).optional(),
  redisOptions: z.looseObject({}).optional(),
});
const UNPOOLED =
  "let MAITRED_QUEUE_URL name Postgres itself and no pooler, which drops or refuses the search_path of its connections";
/** What to do where Postgres was reached and says why it does not do it, by SQLSTATE. */
const POSTGRES_REFUSALS: Readonly<Record<string, string>> = {
  "08P01": UNPOOLED,
  "25006":
    "if it is a standby, name the primary; else reset default_transaction_read_only of the server, the database or the role",
  "53100": "make room on its disk",
  "53300": "raise max_connections, or what the role or the database may have, or run fewer processes",
};
const POSTGRES_WHERE =
  "check MAITRED_QUEUE_URL, or DATABASE_URL where that is not set, and that Postgres runs and lets this role in";
