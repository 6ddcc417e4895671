/** Process: the HTTP API, assembled from its parts. `maitred api` runs it. */
import { join } from "node:path";
import type { Config } from "../src/config.ts";
import { asError, UpstreamError } from "../src/errors.ts";
import { serveApi } from "../src/http/api.ts";
import type { GaugeSource } from "../src/http/gauges.ts";
import { type EventDeps, queueForgotten, takeEvents } from "../src/intake/take-events.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { packageRoot, packageVersion } from "../src/package-root.ts";
import { openQueues } from "../src/queue/queues.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { markQueued, recordEvents, unqueuedPhotos, unqueuedState } from "../src/store/events.ts";
import { findAnswer, forgetAnswers, keepAnswer } from "../src/store/idempotent-answers.ts";
import { requireSchema } from "../src/store/migrate.ts";
import { readPhoto, readPhotoOf } from "../src/store/photo-details.ts";
import { connect } from "../src/store/pool.ts";
import { findToken } from "../src/store/tokens.ts";

/**
 * Starts the API and returns once it answers. Every minute it queues what was committed and not queued.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @param options.orAnyFree whether any free port will do where MAITRED_API_PORT is in use.
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function startApi(
  config: Config,
  log: Logger,
  scope: Scope,
  { orAnyFree = false } = {},
): Promise<{ url: string }> {
  const broken = (where: string) => (error: Error) => log.warn({ err: error }, `${where} is unwell`);
  const db = connect(config.databaseUrl, broken("Postgres"));
  scope.onClose("Postgres", () => db.end());
  await requireSchema(db, join(packageRoot(), "migrations"));
  const server = scope.hold("queue server", openQueueServer(config, broken("the queue")));
  await server.check();
  const queues = scope.hold("queues", openQueues(server, broken("the queue")));
  await queues.ready();
  const intake: EventDeps = {
    record: (events) => recordEvents(db, events, config.sequencerPad),
    add: (lane, photos) => orAway(queues.add(lane, photos)),
    markQueued: (ids) => markQueued(db, ids),
    unqueued: (olderThanS, limit) => unqueuedPhotos(db, olderThanS, limit),
  };
  const tidy = async (): Promise<void> => {
    try {
      const photos = await queueForgotten(intake, FORGOTTEN_S);
      if (photos > 0) log.warn({ photos }, "queued what had been committed and not queued");
      await forgetAnswers(db);
    } catch (err) {
      log.warn({ err }, "could not look for what is not queued, and will again");
    }
  };
  let tidying = tidy();
  const timer = setInterval(() => {
    tidying = tidying.then(tidy);
  }, TIDY_MS);
  scope.onClose("tidying", () => {
    clearInterval(timer);
    return tidying;
  });
  const api = await serveApi(
    { ...config, orAnyFree, version: packageVersion() },
    {
      findToken: (id) => findToken(db, id),
      take: (events) => takeEvents(intake, events),
      waiting: async () => (await orAway(queues.depth("live"))).waiting,
      readPhoto: (id) => readPhoto(db, id),
      readPhotoOf: (bucket, key) => readPhotoOf(db, bucket, key),
      findAnswer: (tokenId, key) => findAnswer(db, tokenId, key),
      keepAnswer: (tokenId, key, answer) =>
        keepAnswer(db, tokenId, key, { ...answer, request: Buffer.from(answer.request) }),
      gauges: [unqueuedGauges(() => unqueuedState(db))],
    },
    {
      answered: (about) => log.info(about, "answered"),
      failed: (err) => log.error({ err }, "answered with a failure"),
    },
  );
  scope.hold("http", api);
  log.info({ url: api.url }, "the API answers");
  return { url: api.url };
}

function unqueuedGauges(read: () => Promise<{ photos: number; oldestS: number }>): GaugeSource {
  return {
    gauges: [
      { name: "maitred_unqueued_photos", help: "photos that are committed and in no queue" },
      { name: "maitred_unqueued_oldest_seconds", help: "how long the oldest of them has waited for a queue" },
    ],
    async read() {
      const { photos, oldestS } = await read();
      return { maitred_unqueued_photos: photos, maitred_unqueued_oldest_seconds: oldestS };
    },
  };
}

/** What BullMQ throws says nothing of whose fault it is; here it is always its server's. BullMQ itself waits for ever. */
async function orAway<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${QUEUE_MS} ms`)), QUEUE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } catch (cause) {
    throw new UpstreamError("QUEUE_UNAVAILABLE", `the queue's server: ${asError(cause).message}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

const QUEUE_MS = 10_000;
const TIDY_MS = 60_000;
const FORGOTTEN_S = 30;
