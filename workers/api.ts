/** Process: the HTTP API, assembled from its parts. `maitred api` runs it. */

import { createBatcher } from "../src/batcher.ts";
import type { Config } from "../src/config.ts";
import { serveApi } from "../src/http/api.ts";
import type { ExternalSenders } from "../src/http/callers.ts";
import type { Identity } from "../src/http/desk/access.ts";
import { createOneTimeLinks } from "../src/http/desk/one-time-links.ts";
import { createPubSubVerifier, GOOGLE_KEYS } from "../src/http/pubsub.ts";
import type { PhotoEvent } from "../src/intake/event.ts";
import { ingestEvents, ingestTogether } from "../src/intake/ingest-events.ts";
import { checkTopic, openSns } from "../src/intake/sns.ts";
import { confirmSubscription, createSigningKeys, type Fetch } from "../src/intake/sns-server.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { packageVersion } from "../src/package-root.ts";
import { keepBadMessage } from "../src/store/bad-messages.ts";
import { freeKey, keepAnswer, takeKey } from "../src/store/idempotent-answers.ts";
import { readPhoto, readPhotoOf } from "../src/store/photos.ts";
import { openAppeal } from "../src/store/reviews.ts";
import { findTokens } from "../src/store/tokens.ts";
import { clockGauge } from "../src/wiring/clock.ts";
import { openDesk } from "../src/wiring/desk.ts";
import { gaugesOf } from "../src/wiring/gauges.ts";
import { openEventIntake, startHousekeeping } from "../src/wiring/intake.ts";

/** Who is asked whether a message is theirs: SNS, and Google's published keys. */
interface Asked {
  fetch: Fetch;
  googleKeys: string;
}

export interface RunningApi {
  url: string;
  /** An address that signs somebody in at the desk, once, on this machine. */
  signInLink(who: Identity): string;
}

interface Serving {
  /** Whether any free port will do where MAITRED_API_PORT is in use; false unless given. */
  orAnyFree?: boolean;
}

/**
 * Starts the API and returns once it answers. Every minute it queues what was committed and not queued.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @throws {ConfigError} when a setting, the schema or the queue's server is not usable.
 */
export async function startApi(
  config: Config,
  log: Logger,
  scope: Scope,
  { fetch = globalThis.fetch, googleKeys = GOOGLE_KEYS, orAnyFree = false }: Partial<Asked> & Serving = {},
): Promise<RunningApi> {
  const intake = await openEventIntake(config, log, scope);
  const { db } = intake;
  startHousekeeping(intake, log, scope);
  // asked after the request came, so that a token that is revoked is refused at once
  const lookups = scope.hold(
    "lookups",
    createBatcher((ids: string[]) => findTokens(db, ids), GATHER),
  );
  const gathered = scope.hold(
    "gathered events",
    createBatcher((requests: (readonly PhotoEvent[])[]) => ingestTogether(intake.events, requests), GATHER),
  );
  const links = createOneTimeLinks();
  const api = await serveApi(
    { ...config, orAnyFree, version: packageVersion() },
    {
      findToken: (id) => lookups.add(id, "live"),
      take: (events) =>
        events.length > FEW ? ingestEvents(intake.events, events) : gathered.add(events, "live"),
      async keepBad(source, message, most) {
        const kept = await keepBadMessage(db, source, message, most);
        const { messageId, code, detail } = message;
        const about = { source, message: messageId, code, detail };
        if (kept === "kept") log.warn(about, "put a message aside: see maitred events");
        if (kept === "full")
          log.warn(about, `refused a message, as ${most} wait already: see maitred events`);
        return kept;
      },
      waiting: intake.waiting,
      openAppeal: (photo, reason, objector) => openAppeal(db, photo, reason, objector),
      readPhoto: (id) => readPhoto(db, id),
      readPhotoOf: (bucket, key) => readPhotoOf(db, bucket, key),
      senders: createSenders(config, log, { fetch, googleKeys }),
      takeKey: (tokenId, key, request) => takeKey(db, tokenId, key, request),
      keepAnswer: (tokenId, key, request, answer) => keepAnswer(db, tokenId, key, request, answer),
      freeKey: (tokenId, key, request) => freeKey(db, tokenId, key, request),
      gauges: [...gaugesOf(db), clockGauge(db)],
    },
    {
      answered: (about) => log.info(about, "answered"),
      failed: (err) => log.error({ err }, "answered with a failure"),
    },
    await openDesk(config, intake, scope, links.redeem),
  );
  scope.hold("http", api);
  log.info({ url: api.url }, "the API answers");
  return {
    url: api.url,
    signInLink: (who) => `${api.url}/desk/#link=${links.create(who)}`,
  };
}

function createSenders(config: Config, log: Logger, { fetch, googleKeys }: Asked): ExternalSenders {
  const rules = { topics: config.snsTopics, maxAgeS: config.snsMaxAgeS };
  const sns = {
    signingKey: createSigningKeys(fetch),
    confirm: (url: URL) => confirmSubscription(fetch, url),
    told: (about: object) => log.warn(about, "a subscription of SNS was confirmed, or ended"),
  };
  return {
    hearsSns: rules.topics.length > 0,
    openSns: (body) => openSns(body, rules, sns, new Date()),
    checkTopic: (topic) => checkTopic(topic, rules.topics),
    openPubSub: createPubSubVerifier(
      { audience: config.gcsAudience, account: config.gcsAccount },
      googleKeys,
    ),
  };
}

/** Requests of so few events are committed together with those that come while others are: most have one. */
const FEW = 10;
/** One batch after the other, so that batches are large; one that has to wait for a lock holds up the next only so long. */
const GATHER = { maxSize: 100, maxWaitMs: 50, workers: 1, maxRunning: 4 };
