/** Process: the HTTP API, assembled from its parts. `maitred api` runs it. */
import { join } from "node:path";
import type { Config } from "../src/config.ts";
import { asError, UpstreamError } from "../src/errors.ts";
import { serveApi } from "../src/http/api.ts";
import { type EventDeps, queueForgotten, takeEvents } from "../src/intake/take-events.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { packageRoot, packageVersion } from "../src/package-root.ts";
import { openQueues } from "../src/queue/queues.ts";
import { openQueueServer } from "../src/queue/server.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../src/store/events.ts";
import { findAnswer, forgetAnswers, keepAnswer } from "../src/store/idempotent-answers.ts";
import { requireSchema } from "../src/store/migrate.ts";
import { readPhoto, readPhotoOf } from "../src/store/photo-details.ts";
import { connect } from "../src/store/pool.ts";
import { findToken } from "../src/store/tokens.ts";

/**
 * Starts the API and returns once it answers. Every minute it queues what was committed and not queued.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function startApi(config: Config, log: Logger, scope: Scope): Promise<{ url: string }> {
  const broken = (where: string) => (error: Error) => log.warn({ err: error }, `${where} is unwell`);
  const db = connect(config.databaseUrl, broken("Postgres"));
  scope.onClose("Postgres", () => db.end());
  await requireSchema(db, join(packageRoot(), "migrations"));
  const server = scope.hold("queue server", openQueueServer(config, broken("the queue")));
  await server.check();
  const queues = scope.hold("queues", openQueues(server, broken("the queue")));
  await queues.ready();
  const intake: EventDeps = {
    record: (events) => recordEvents(db, events, config.sequencerPad, config.removed === "erase"),
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
    { ...config, version: packageVersion() },
    {
      findToken: (id) => findToken(db, id),
      take: (events) => takeEvents(intake, events),
      waiting: async () => (await orAway(queues.depth("live"))).waiting,
      readPhoto: (id) => readPhoto(db, id),
      readPhotoOf: (bucket, key) => readPhotoOf(db, bucket, key),
      findAnswer: (tokenId, key) => findAnswer(db, tokenId, key),
      keepAnswer: (tokenId, key, answer) =>
        keepAnswer(db, tokenId, key, { ...answer, request: Buffer.from(answer.request) }),
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
