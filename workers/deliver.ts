/** Process: tells destinations what became of photos, assembled from its parts. `maitred deliver` runs it. */
import type { Config } from "../src/config.ts";
import { createAddresses } from "../src/deliver/addresses.ts";
import { createDeliverer, type Deliverer } from "../src/deliver/deliverer.ts";
import { type Attempt, bodyOf, type Claim, messageId } from "../src/deliver/message.ts";
import { createTagger } from "../src/deliver/object-tags.ts";
import { createWebhookSender } from "../src/deliver/webhook.ts";
import { connectS3 } from "../src/image/s3.ts";
import { setTags, VERSIONS_AT_ONCE } from "../src/image/tags.ts";
import type { Scope } from "../src/lifecycle.ts";
import type { Logger } from "../src/log.ts";
import { packageVersion } from "../src/package-root.ts";
import { runEvery } from "../src/run-every.ts";
import { claimDeliveries, purgeDeliveries, settleDelivery } from "../src/store/deliveries.ts";
import { enableDestination } from "../src/store/destinations.ts";
import { listen } from "../src/store/listen.ts";
import { readPhotoState } from "../src/store/photos.ts";
import { createOutageLogger, openPostgres } from "../src/wiring/servers.ts";

/**
 * Starts delivering and returns once it does. Every ten minutes it deletes what was delivered long enough ago.
 *
 * @param scope holds what it opens from the first moment on, so that a signal during the start ends it too.
 * @throws {ConfigError} when a setting or the schema is not usable.
 */
export async function startDeliver(config: Config, log: Logger, scope: Scope): Promise<Deliverer> {
  const broken = createOutageLogger(log, "Postgres");
  const db = await openPostgres(config, log, scope);
  const webhooks = scope.hold(
    "webhooks",
    createWebhookSender(createAddresses(config.webhookAllow), {
      timeoutMs: config.deliverTimeoutMs,
      agent: `maitred/${packageVersion()}`,
    }),
  );
  const s3 = connectS3(config, config.deliverEach * VERSIONS_AT_ONCE);
  scope.onClose("S3", () => s3.destroy());
  const tell = {
    "s3-tags": createTagger({
      photoOf: (photo) => readPhotoState(db, photo),
      setTags: (photo, tagsFor) => setTags(s3, photo, tagsFor, TAGS_MS),
    }),
    webhook: (claim: Claim): Promise<Attempt> =>
      webhooks.post({
        url: claim.url ?? "",
        secrets: claim.secrets,
        id: messageId(claim),
        body: bodyOf(claim),
      }),
  };
  const deliverer = createDeliverer(
    {
      claim: (busy, each, total) => claimDeliveries(db, busy, { each, total, leaseS: LEASE_S }),
      settle: (claim, settled) => settleDelivery(db, claim, settled),
      async disable(destination, note) {
        await enableDestination(db, destination, false, note);
        log.error({ destination, note }, "the destination wants nothing more, and is switched off");
      },
      tell: (claim) => tell[claim.kind](claim),
    },
    {
      total: config.deliverConcurrency,
      each: config.deliverEach,
      attempts: config.deliverAttempts,
      backoffMs: config.deliverBackoffMs,
      pollMs: Math.min(POLL_MS, config.deliverBackoffMs),
    },
    {
      attempted({ seq, destination, photoId, change, attempt }, { state, note, waitMs }, seconds) {
        const about = { seq, destination, photo: photoId, change, attempt, ms: Math.round(seconds * 1000) };
        if (state === "delivered") log.info({ ...about, ...(note && { note }) }, "delivered");
        else if (state === "dead")
          log.error({ ...about, note }, "dead: maitred deliveries replay sends it again");
        else log.warn({ ...about, note, waitMs: Math.round(waitMs) }, "will be tried again");
      },
      unwell: broken,
    },
  );
  scope.hold("notices", listen(config.databaseUrl, "maitred_outbox", deliverer.look, broken));
  const kept = { days: config.deliverKeepDays, deadDays: DEAD_DAYS };
  const purge = async (): Promise<void> => {
    while (!scope.closing && (await purgeDeliveries(db, kept, PURGE_PAGE)) >= PURGE_PAGE);
  };
  scope.hold("purge", runEvery(purge, PURGE_MS, broken));
  // the last, so that it is the first to end: what it has in hand needs the others
  scope.onClose("deliveries", () => {
    log.info("ending what is in hand");
    return deliverer.close();
  });
  log.info({ concurrency: config.deliverConcurrency, each: config.deliverEach }, "delivering");
  return deliverer;
}

/** Longer than any attempt: until then nobody else tells the same destination of the same photo. */
const LEASE_S = 60;
/** How often to look for what has become due again; what is new comes with a notice. */
const POLL_MS = 1_000;
/** For the requests that tag one object once. */
const TAGS_MS = 10_000;
const PURGE_MS = 600_000;
const PURGE_PAGE = 1_000;
/** A season: whoever has not asked for them by then will not. */
const DEAD_DAYS = 90;
