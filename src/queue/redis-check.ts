import { Cluster, type Redis, ReplyError } from "ioredis";
import { withTimeout } from "../asking.ts";
import { asError, ConfigError, UpstreamError } from "../errors.ts";

/**
 * What Redis it is, once it has answered, also to a write.
 *
 * @param last why it could not be connected to, if it could not.
 * @throws {ConfigError} saying what to mend.
 * @throws {UpstreamError} QUEUE_UNAVAILABLE.
 */
export async function checkRedis(
  redis: Redis | Cluster,
  prefix: string,
  last: () => Error | undefined,
): Promise<string> {
  // ioredis connects again without end to a server that is away; a check at start must not
  return withTimeout(versionOf(redis, prefix), CHECK_MS, () => {
    const error = last();
    const why = error ? `: ${reasonOf(error)}` : "";
    throw new UpstreamError(
      "QUEUE_UNAVAILABLE",
      `Redis: no answer within ${CHECK_MS} ms${why}: ${REDIS_WHERE}`,
    );
  }).catch(refused);
}

/**
 * Why Redis may drop jobs, with what to do about it; undefined where it may not.
 *
 * @throws {UpstreamError} QUEUE_UNAVAILABLE where it does not answer.
 */
export async function evictionOf(redis: Redis | Cluster): Promise<string | undefined> {
  const look = async (): Promise<string | undefined> => {
    for (const node of await primaries(redis)) {
      const wrong = evictionIn(parseInfo(await node.info("memory")));
      if (wrong) return wrong;
    }
    return undefined;
  };
  return withTimeout(look(), CHECK_MS, () => {
    throw new UpstreamError("QUEUE_UNAVAILABLE", `Redis: no answer within ${CHECK_MS} ms: ${REDIS_WHERE}`);
  });
}

async function versionOf(redis: Redis | Cluster, prefix: string): Promise<string> {
  let version = "";
  for (const node of await primaries(redis)) {
    const info = parseInfo(await node.info());
    version = info["redis_version"] ?? "";
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (major < 6 || (major === 6 && minor < 2)) {
      throw new ConfigError(`Redis: expected version 6.2 or newer, got ${version}`);
    }
    const wrong = evictionIn(info);
    if (wrong) throw new ConfigError(wrong);
  }
  // one that is full, or a replica by now, answers all the same
  await redis.set(`${prefix}:check`, "", "PX", 1_000);
  return `Redis ${version}`;
}

/** What Redis answered in place of what it was asked. It is not passed on as a cause: its command may hold the password. */
function refused(thrown: unknown): never {
  if (!(thrown instanceof ReplyError)) throw thrown;
  const { message } = asError(thrown);
  const word = message.split(" ", 1)[0]!;
  const todo = REFUSALS[word];
  if (!todo) throw new UpstreamError("QUEUE_UNAVAILABLE", `Redis: ${message}: ${FULL[word] ?? REDIS_WHERE}`);
  throw new ConfigError(`Redis: ${todo}`);
}

function evictionIn(info: Record<string, string>): string | undefined {
  const policy = info["maxmemory_policy"];
  if (policy === "noeviction") return undefined;
  return `Redis: expected maxmemory-policy noeviction, got ${policy}: any other drops jobs when memory runs out; run CONFIG SET maxmemory-policy noeviction, and put it into redis.conf`;
}

async function primaries(redis: Redis | Cluster): Promise<Redis[]> {
  if (!(redis instanceof Cluster)) return [redis];
  await redis.ping();
  return redis.nodes("master");
}

function parseInfo(info: string): Record<string, string> {
  return Object.fromEntries(
    info.split(/\r?\n/).map((line) => line.split(/:(.*)/s).slice(0, 2) as [string, string]),
  );
}

/** Of a name with several addresses, of which none answers, Node says nothing but the code. */
export function reasonOf(error: Error): string {
  return error.message || String((error as { code?: unknown }).code);
}

const CHECK_MS = 10_000;
const REDIS_WHERE = "check MAITRED_QUEUE_URL and MAITRED_QUEUE_OPTIONS, and that the server runs";
const WHERE = "mend MAITRED_QUEUE_URL, as redis://USER:PASSWORD@HOST:6379, or MAITRED_QUEUE_OPTIONS";
/** Why it takes no writes, which may pass. */
const FULL: Readonly<Record<string, string>> = {
  OOM: "give it more memory (maxmemory); jobs stay, and photos that find no room are queued later",
  MISCONF: "it cannot save to its disk: make room there",
  READONLY: "it is a replica: name the primary in MAITRED_QUEUE_URL",
};
const REFUSALS: Readonly<Record<string, string>> = {
  NOAUTH: `expected a password, got none: ${WHERE}`,
  WRONGPASS: `it does not take this user and password: ${WHERE}`,
  NOPERM:
    "its user may not do all that is needed: allow it INFO, scripts, and all keys of MAITRED_QUEUE_PREFIX",
};
