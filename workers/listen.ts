/** Process: listens to queues of SQS, assembled from its parts. `maitred listen` runs it. */
import type { Config } from "../src/config.ts";
import { ConfigError, codeOf } from "../src/errors.ts";
import { createListenMetrics } from "../src/http/listen-metrics.ts";
import { serveHttp } from "../src/http/server.ts";
import { ingestEvents } from "../src/intake/ingest-events.ts";
import { type ListenDeps, type Listener, listenTo } from "../src/intake/listen.ts";
import { openSqsQueue } from "../src/intake/sqs.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { countBadMessages, keepBadMessages } from "../src/store/bad-messages.ts";
import { clockGauge } from "../src/wiring/clock.ts";
import { gaugesOf } from "../src/wiring/gauges.ts";
import { openEventIntake, startHousekeeping } from "../src/wiring/intake.ts";

/**
 * Starts listening and returns. `url` is where metrics and health are.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function startListening(config: Config, log: Logger, scope: Scope): Promise<{ url: string }> {
  if (config.sqsQueues.length === 0) {
    throw new ConfigError("MAITRED_SQS_QUEUES: expected at least one queue's URL");
  }
  const intake = await openEventIntake(config, log, scope);
  startHousekeeping(intake, log, scope);
  const metrics = createListenMetrics([...gaugesOf(intake.db), clockGauge(intake.db)]);
  const listeners: Listener[] = [];
  const ready = (): boolean => !scope.closing && listeners.every((listener) => listener.well());
  const http = scope.hold("http", await serveHttp(config, metrics.registry, ready));
  const deps: ListenDeps = {
    take: (events) => ingestEvents(intake.events, events),
    keepBad: (source, messages) => keepBadMessages(intake.db, source, messages),
    waiting: intake.waiting,
    askDatabase: () => countBadMessages(intake.db),
  };
  const { sqsReceives: receives, sqsVisibilityS: visibilityS, queueLimit } = config;
  const queues = config.sqsQueues.map((url) => {
    const queue = openSqsQueue(url, config);
    return scope.hold(queue.source, queue);
  });
  for (const queue of queues) {
    const { source } = queue;
    const listener = listenTo(
      queue,
      deps,
      { receives, visibilityS, queueLimit },
      {
        took(messages, outcomes) {
          metrics.messages(source, "taken", messages);
          for (const { outcome } of outcomes) metrics.events(source, outcome);
          const photos = outcomes.flatMap(({ photoId }) => photoId ?? []);
          log.info({ source, messages, events: outcomes.length, photos }, "took messages");
        },
        bad({ messageId, code, detail }) {
          metrics.messages(source, "bad", 1);
          log.warn({ source, message: messageId, code, detail }, "put a message aside: see maitred events");
        },
        unwell(err) {
          metrics.failed(source, codeOf(err));
          log.warn({ source, err }, "could not listen, and will again");
        },
      },
    );
    listeners.push(scope.hold(`listener of ${source}`, listener));
  }
  log.info({ queues: queues.map(({ source }) => source), receives, url: http.url }, "listening");
  return { url: http.url };
}
