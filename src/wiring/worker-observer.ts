/** Part of a process: what a worker says of the photos that it judges. */
import { codeOf } from "../errors.ts";
import type { Metrics } from "../http/metrics.ts";
import type { Logger } from "../log.ts";
import type { Recent } from "../moderate/recent.ts";
import type { WorkerEvents } from "../moderate/worker.ts";

export interface WorkerObserver {
  events: WorkerEvents;
  /** Tries in a row that inference failed. */
  failedTries(): number;
  /** Whether inference worked of late: a worker that cannot judge says so. */
  infers(): boolean;
}

/** Says it in the log, in the metrics, in the figures for the desk, and to whoever started the worker. */
export function createWorkerObserver(
  log: Logger,
  metrics: Metrics,
  recent: Recent,
  events: Partial<WorkerEvents>,
): WorkerObserver {
  let ill = 0;
  return {
    failedTries: () => ill,
    infers: () => ill < MOST_ILL,
    events: {
      stage(stage, lane, seconds) {
        metrics.stage(stage, lane, seconds);
        recent.stage(stage, seconds);
        events.stage?.(stage, lane, seconds);
      },
      batch(id, photos, seconds, provider) {
        ill = 0;
        metrics.batch(photos, seconds, provider);
        recent.batch(photos, seconds);
        log.debug({ batch: id, photos, ms: Math.round(seconds * 1000) }, "batch");
        events.batch?.(id, photos, seconds, provider);
      },
      finished(photo, lane, outcome, changed) {
        const { result, batch } = outcome;
        const { id, bucket, key } = photo;
        const about = { photo: id, bucket, key, lane, batch, by: outcome.by, changed };
        recent.left(lane, !("failure" in result));
        if ("failure" in result) {
          metrics.failure(lane, result.failure);
          log.warn({ ...about, code: result.failure, message: result.message }, "failed");
        } else {
          const { verdict, category, rule, reason } = result.decision;
          metrics.verdict(lane, verdict, category);
          if (photo.rendition) metrics.rendition(result.rendition ? "judged" : "passed over");
          log.info({ ...about, verdict, category, rule, reason }, "judged");
        }
        events.finished?.(photo, lane, outcome, changed);
      },
      retried(photo, lane, error) {
        const code = codeOf(error);
        if (code === "INFERENCE_UNAVAILABLE") ill++;
        metrics.retry(lane, code);
        recent.retried();
        // a bug has no code of its own, so its stack is what helps
        log.warn(
          {
            photo: photo.id,
            lane,
            code,
            ...(code === "INTERNAL" ? { err: error } : { message: error.message }),
          },
          "will be tried again",
        );
        events.retried?.(photo, lane, error);
      },
      duplicateBytes: (lane) => metrics.same(lane),
      renditionSkipped({ id, rendition }, error) {
        const about = { photo: id, bucket: rendition?.bucket, key: rendition?.key };
        log.debug({ ...about, code: codeOf(error), message: error.message }, "the rendition is passed over");
      },
      shadowed(outcome, photos, error) {
        metrics.shadow(outcome, photos);
        recent.shadowed(outcome, photos);
        if (error) log.warn({ err: error, photos }, "the shadow failed");
        events.shadowed?.(outcome, photos, error);
      },
    },
  };
}

const MOST_ILL = 3;
