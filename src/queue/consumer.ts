import { DelayedError, type Job, UnrecoverableError, Worker } from "bullmq";
import { asError, BusyError, codeOf, isOutage, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Try } from "../moderate/line.ts";
import type { Lane, PhotoJob } from "../photo.ts";
import { Bucket } from "./bucket.ts";
import { MOST_PUT_OFF_MS, parsePayload } from "./queues.ts";
import type { QueueServer } from "./server.ts";

export interface Attempt extends Required<Try> {
  /** Milliseconds since the photo was queued. */
  ageMs: number;
}

interface ConsumerSettings {
  /** Photos in hand at once. */
  concurrency: number;
  /** Milliseconds after which the lock of a dead worker ends; its photo goes to another within half as much more. */
  lockMs: number;
  /** Tries of one photo whose store does not answer. */
  attempts: number;
  /** Milliseconds before the second try; doubles each time up to a minute, give or take half. */
  backoffMs: number;
  /** Milliseconds since an upload was queued after which it waits no more for a store that answers for none. */
  patienceMs: number;
  /** Milliseconds since 1970, by a clock that is that of all workers: what one refuses, another may have given. */
  now?: () => number;
}

export interface ConsumerHandlers {
  /**
   * Returning means that what became of the photo is committed. Throwing means that it is not: an UpstreamError
   * is tried again after a while, anything else is a bug and tried again too.
   */
  photo(photo: PhotoJob, attempt: Attempt): Promise<void>;
  /**
   * A photo was in hand each time that several workers died, and is not handed out again. Returning means that this is
   * committed; until then it is asked again.
   *
   * @param again whether a worker died of that, too; `patient` as of a try.
   */
  abandoned(photo: PhotoJob, reason: string, how: { again: boolean; patient: boolean }): Promise<void>;
  error(error: Error): void;
}

/**
 * Hands out the photos of one lane, each with a lock, retry and outcome of its own. The lock is renewed while
 * this thread runs, so nothing on it may take longer than half of `lockMs`. `close` takes no more photos and
 * waits for those in hand.
 *
 * @param suspects shared by the lanes of a process: the photo in hand, at most one, that was in hand as two workers died, so that
 *   the one that kills workers does not take the same ones with it each time.
 * @throws {UpstreamError} QUEUE_UNAVAILABLE when the queue's server refuses at the start; once it has begun,
 *   outages are waited out.
 */
export async function consume(
  server: QueueServer,
  lane: Lane,
  settings: ConsumerSettings,
  handlers: ConsumerHandlers,
  suspects = new Set<string>(),
): Promise<Closable> {
  const { now = Date.now } = settings;
  const buckets = new Map<string, Bucket>();
  const worker = new Worker(
    lane,
    (job, token) => handle(job, token),
    {
      connection: server.connection,
      prefix: server.prefix,
      // BullMQ's loop would spin without end over a server that refused the first connection
      autorun: false,
      concurrency: settings.concurrency,
      lockDuration: settings.lockMs,
      // a look finds a lock that ended only if the one before saw its photo in hand
      stalledInterval: Math.ceil(settings.lockMs / 4),
      // BullMQ would take the job away before anybody has committed what became of the photo: `handle` gives it up instead
      maxStalledCount: 1_000_000,
      settings: {
        backoffStrategy: (tries) =>
          // whole milliseconds, which Postgres insists on
          Math.round(Math.min(settings.backoffMs * 2 ** (tries - 1), MAX_BACKOFF_MS) * (0.5 + Math.random())),
      },
      runRetryDelay: 1_000,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    },
    server.backend,
  );
  worker.on("error", handlers.error);

  async function handle(job: Job, token: string | undefined): Promise<void> {
    const photo = parsePayload(job.data);
    if (!photo) {
      handlers.error(new Error(`job ${job.id} of queue ${lane} is not a photo: it was dropped`));
      throw new UnrecoverableError("expected a photo");
    }
    const name = `${photo.store} ${photo.bucket}`;
    const bucket = buckets.get(name) ?? new Bucket();
    buckets.set(name, bucket);
    const plan = planOf(job, lane, settings, bucket, now());
    const { deaths, away } = plan;
    const suspect = deaths >= SUSPECT_DEATHS;
    if (suspect && suspects.size > 0) return putBack(job, token, SUSPECT_DELAY_MS);
    // one asks for all of them: a store that is away would have all places of the lane, and photos of others wait
    if (away && bucket.asking) return putBack(job, token, plan.awayMs);
    if (away) bucket.asking = true;
    if (suspect) suspects.add(photo.id);
    try {
      if (deaths >= MAX_DEATHS)
        await handlers.abandoned(photo, `in hand each time that ${deaths} workers died`, {
          again: deaths > MAX_DEATHS,
          patient: lane === "live" && plan.ageMs < settings.patienceMs,
        });
      else {
        await handlers.photo(photo, plan);
        // what ends a last try may be that it was refused
        if (plan.waits || !plan.last) bucket.gave(plan.askedAt);
      }
    } catch (thrown) {
      const ours = isOutage(thrown);
      const unavailable = !ours && codeOf(thrown) === "STORE_UNAVAILABLE";
      if (unavailable) bucket.refused(photo.id);
      if (unavailable && plan.patient) await job.updateProgress({ refusedAt: now() });
      const outage = ours || plan.waitsFor(asError(thrown));
      if (!(plan.last || outage)) throw asError(thrown);
      if (!outage) handlers.error(asError(thrown));
      // an outage says nothing of the photo, so it costs none of its tries; and whatever keeps the outcome
      // of a last try from being committed must not make the job go away
      await putBack(job, token, unavailable ? plan.awayMs : OUTAGE_DELAY_MS);
    } finally {
      if (away) bucket.asking = false;
      if (suspect) suspects.delete(photo.id);
    }
  }

  try {
    await worker.waitUntilReady();
  } catch (cause) {
    await worker.close(true);
    throw new UpstreamError("QUEUE_UNAVAILABLE", `the queue's server: ${asError(cause).message}`, { cause });
  }
  worker.run().catch((error: unknown) => handlers.error(asError(error)));
  return { close: () => worker.close() };
}

interface Plan extends Attempt {
  askedAt: number;
  /** Workers that died with it in hand. */
  deaths: number;
  /** Whether it may wait for its store, beyond its tries. */
  patient: boolean;
  /** Whether its bucket is away. */
  away: boolean;
  /** Whether it waits where its store does not answer. */
  waits: boolean;
  /** Milliseconds until it asks a store again that did not answer. */
  awayMs: number;
}

/** What this try of a photo may end in, by what became of the ones before and what its bucket answered of late. */
function planOf(job: Job, lane: Lane, settings: ConsumerSettings, bucket: Bucket, askedAt: number): Plan {
  const deaths = job.stalledCounter;
  const tries = job.attemptsMade + 1;
  const ageMs = askedAt - job.timestamp;
  const last = deaths >= MAX_DEATHS || tries >= settings.attempts;
  // in the end its tries are over, or it would be asked for without end. What a backfill could not read it lists, and tries again
  // when it is told to
  const patient = lane === "live" && deaths < MAX_DEATHS && ageMs < settings.patienceMs;
  const away = patient && bucket.away;
  // of the job's last refusal, which may be another worker's
  const { refusedAt = Number.POSITIVE_INFINITY } = job.progress as { refusedAt?: number };
  // a store that has given none since it refused this one may be away, which says nothing of the photo
  const waits = away || (patient && tries >= settings.attempts && bucket.gaveNoneSince(refusedAt));
  const waitsFor = (error: Error): boolean =>
    // on any try, as one for a store that is away says nothing of the photo
    (waits && codeOf(error) === "STORE_UNAVAILABLE") ||
    // a busy one shows by its answer that it is there: tries are made as ever, and the last is put off
    (patient && last && error instanceof BusyError);
  const awayMs = Math.min(Math.max(ageMs / 4, OUTAGE_DELAY_MS), MAX_BACKOFF_MS);
  return { askedAt, deaths, tries, last, ageMs, patient, away, waits, waitsFor, awayMs };
}

/** Costs the photo no try. @param delayMs milliseconds at least, and up to twice as many. */
async function putBack(job: Job, token: string | undefined, delayMs: number): Promise<never> {
  await job.moveToDelayed(Date.now() + Math.round(delayMs * (1 + Math.random())), token);
  throw new DelayedError();
}

const MAX_DEATHS = 4;
/** After one, all that was in hand would be judged one at a time wherever a machine is switched off. */
const SUSPECT_DEATHS = 2;
const SUSPECT_DELAY_MS = 1_000;
const OUTAGE_DELAY_MS = 2_000;
const MAX_BACKOFF_MS = MOST_PUT_OFF_MS / 2;
