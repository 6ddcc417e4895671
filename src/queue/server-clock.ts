import { type BackendFactory, createPostgresBackend, createRedisBackend, type IQueueBackend } from "bullmq";
import type { Cluster, Redis } from "ioredis";
import { MOST_PUT_OFF_MS } from "./queues.ts";

/**
 * BullMQ on Postgres, with locks and delays by the clock of Postgres. BullMQ counts them by that of each worker: one that is ahead
 * would take what others have in hand, and what it has in hand as it is killed would stay locked until its time has come, as
 * would all that others leave.
 */
export const postgresBackend = ((name, options, more) => {
  const backend = createPostgresBackend(name, options as never, more);
  const bullmq = backend as unknown as Commands;
  const run = bullmq.run.bind(backend);
  bullmq.run = async (command, values) => {
    const ours = COMMANDS[command];
    if (!ours) return run(command, values);
    if (command === "move_stalled_jobs_to_wait")
      await bullmq.query(OVERDUE, [values[0], LONGEST_LOCK_MS, MOST_PUT_OFF_MS, values[3]]);
    const answer = await bullmq.query(ours, command === "next_delay" ? [...values, Date.now()] : values);
    // a worker counts by its own clock when it is to renew a lock, from this on: one that is behind would not for as long
    for (const row of answer.rows) if (row.processed_at_ms !== undefined) row.processed_at_ms = Date.now();
    return answer;
  };
  return backend;
}) as BackendFactory<IQueueBackend>;

/**
 * BullMQ on Redis, whose locks end by the clock of Redis, as keys do. Workers put off by their own: what is due by that of Redis, or
 * put off for longer than anybody does, is made due for all of them.
 */
export function redisBackend(redis: Redis | Cluster, prefix: string): BackendFactory<IQueueBackend> {
  return ((name, options, more) => {
    const backend = createRedisBackend(name, options, more);
    const move = backend.moveStalledJobsToWait.bind(backend);
    backend.moveStalledJobsToWait = async () => {
      const keys = ["delayed", "marker"].map((kind) => `${prefix}:${name}:${kind}`);
      await redis.eval(DUE_IN_REDIS, keys.length, ...keys, MOST_PUT_OFF_MS);
      return move();
    };
    return backend;
  }) as BackendFactory<IQueueBackend>;
}

/** Of BullMQ's own, which have no types. */
interface Commands {
  run(command: string, values: unknown[]): Promise<unknown>;
  query(text: string, values: unknown[]): Promise<{ rows: { processed_at_ms?: unknown }[] }>;
}

const NOW = "(extract(epoch from clock_timestamp()) * 1000)::bigint";
/** BullMQ's, by their names, with the time of Postgres in place of what is told; that has no use, and its type has to be known. */
const told = (value: string): string => `${NOW} + 0 * ${value}::bigint`;
const COMMANDS: Readonly<Record<string, string>> = {
  move_to_active: `select * from move_to_active($1, $2, $3, ${told("$4")}, $5, $6, $7)`,
  move_to_completed_fetch: `select * from move_to_completed_fetch($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, ${told("$10")}, $11, $12, $13)`,
  move_to_failed_fetch: `select * from move_to_failed_fetch($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, ${told("$11")}, $12, $13, $14)`,
  extend_lock: `select extend_lock($1, $2, $3, $4, ${told("$5")}) as n`,
  extend_locks: `select id from unnest($2::text[], $3::text[]) as held (id, token) where extend_lock($1, id, token, $4, ${told("$5")}) = 0`,
  move_stalled_jobs_to_wait: `select id from move_stalled_jobs_to_wait($1, $2, ${told("$3")}, $4) as t (id)`,
  move_to_delayed: `select move_to_delayed($1, $2, $3, ${told("$4")} + $5::bigint, $5, $6, $7, $8::jsonb) as n`,
  // a worker waits for what is told here by its own clock
  next_signal: `select rate_limit_ttl, next_delay - ${NOW} + $3::bigint as next_delay from next_signal($1, $2, $3)`,
  next_delay: `select next_delay($1) - ${NOW} + $2::bigint as next_delay`,
};

/**
 * What is locked or put off for longer than anybody asks for: the clock of Postgres was ahead too, as that of one before a failover.
 * Whoever holds a job and lives has one lock's time to renew it: the consumer looks four times in that.
 */
const OVERDUE = `
with checked as (
  delete from meta where queue = $1 and case field when 'stalled-check' then value::bigint > ${NOW} end
), locked as (
  update job set locked_until_ms = ${NOW} + 4 * $4::bigint where queue = $1 and state = 'active' and locked_until_ms > ${NOW} + $2::bigint
)
update job set process_at_ms = ${NOW} where queue = $1 and state = 'delayed' and process_at_ms > ${NOW} + $3::bigint`;

/** A score is a time in milliseconds and twelve bits more, and 0 is due by any clock; the marker wakes whoever waits. */
const DUE_IN_REDIS = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function put_off(from, to)
  return redis.call("ZRANGEBYSCORE", KEYS[1], string.format("%.0f", from * 4096), to, "LIMIT", 0, 500)
end
local due = put_off(1, string.format("%.0f", now * 4096))
for _, id in ipairs(put_off(now + ARGV[1], "+inf")) do due[#due + 1] = id end
for _, id in ipairs(due) do redis.call("ZADD", KEYS[1], 0, id) end
if #due > 0 then redis.call("ZADD", KEYS[2], 0, "0") end`;

/** The most that MAITRED_LOCK_MS may be. */
const LONGEST_LOCK_MS = 600_000;
