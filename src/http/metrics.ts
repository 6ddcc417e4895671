import { type ErrorCode, FAILURE_CODES } from "../errors.ts";
import type { Stage } from "../moderate/line.ts";
import type { ShadowOutcome } from "../moderate/shadow.ts";
import { LANES, type Lane, VERDICTS, type Verdict } from "../photo.ts";
import type { LaneDepth } from "../queue/queues.ts";
import { fresh, type GaugeSource, showGauges } from "./gauges.ts";
import { openRegistry } from "./registry.ts";

interface Depths extends Omit<LaneDepth, "active"> {
  lane: Lane;
  /** MAITRED_QUEUE_PREFIX, which tells apart what several groups show to one Prometheus. */
  prefix: string;
}

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * What a worker counts, under names that dashboards may rely on.
 *
 * @param depths asked when somebody scrapes; while it cannot be asked its figures are left out, see `showGauges`.
 */
export function createMetrics(depths: () => Promise<Depths[]>, gauges: readonly GaugeSource[] = []) {
  const { registry, counter, gauge, histogram } = openRegistry();
  const photos = counter("maitred_photos_total", "photos that left the line with a verdict", [
    "lane",
    "verdict",
    "category",
  ]);
  const failures = counter("maitred_failures_total", "photos that could not be judged, by code", [
    "lane",
    "code",
  ]);
  // a rate does not see what a counter begins with, nor a sum a counter that is not there
  for (const lane of LANES) {
    for (const verdict of VERDICTS) photos.inc({ lane, verdict, category: "" }, 0);
    for (const code of FAILURE_CODES) failures.inc({ lane, code }, 0);
  }
  const retries = counter("maitred_retries_total", "tries that failed and are made again, by code", [
    "lane",
    "code",
  ]);
  const stages = histogram(
    "maitred_stage_seconds",
    "time of one photo in one stage; batch is waiting and inference together",
    [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    ["stage", "lane"],
  );
  const sizes = histogram(
    "maitred_batch_size",
    "photos in one model run",
    [1, 2, 4, 8, 16, 32, 64, 128, 256],
  );
  const runs = histogram(
    "maitred_inference_seconds",
    "time of one model run",
    [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    ["provider"],
  );
  const ages = histogram(
    "maitred_age_seconds",
    "from queued to committed",
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800],
    ["lane"],
  );
  const model = gauge("maitred_model_info", "1 for the model that judges", ["model", "variant", "provider"]);
  const modelProblem = gauge(
    "maitred_model_problem",
    "1 while a model that is to run here cannot be opened, or the policy is for another",
  );
  const shadows = counter(
    "maitred_shadow_photos_total",
    "photos of the shadow's share, by what became of them: judged, dropped, failed",
    ["outcome"],
  );
  const same = counter(
    "maitred_same_bytes_total",
    "photos that were not judged, because the model has judged the same bytes before",
    ["lane"],
  );
  const renditions = counter(
    "maitred_renditions_total",
    "photos that were to be judged by a rendition, by what became of it: judged, passed over",
    ["outcome"],
  );
  showGauges(registry, [...gauges, ...depthGauges(fresh(depths))]);
  return {
    verdict: (lane: Lane, verdict: Verdict, category: string) => photos.inc({ lane, verdict, category }),
    failure: (lane: Lane, code: ErrorCode) => failures.inc({ lane, code }),
    retry: (lane: Lane, code: ErrorCode) => retries.inc({ lane, code }),
    stage: (stage: Stage, lane: Lane, seconds: number) => stages.observe({ stage, lane }, seconds),
    /** One model run of `photos`. */
    batch(photos: number, seconds: number, provider: string): void {
      sizes.observe(photos);
      runs.observe({ provider }, seconds);
    },
    /** What judges from now on. */
    model(about: { model: string; variant: string; provider: string }): void {
      model.reset();
      model.set(about, 1);
    },
    modelProblem: (exists: boolean) => modelProblem.set(exists ? 1 : 0),
    shadow: (outcome: ShadowOutcome, photos: number) => shadows.inc({ outcome }, photos),
    same: (lane: Lane) => same.inc({ lane }),
    rendition: (outcome: "judged" | "passed over") => renditions.inc({ outcome }),
    age: (lane: Lane, ms: number) => ages.observe({ lane }, ms / 1000),
    registry,
  };
}

function depthGauges(depths: () => Promise<Depths[]>): GaugeSource[] {
  const gauge = (name: string, help: string, value: (depth: Depths) => number): GaugeSource => ({
    name,
    help,
    labels: ["lane", "prefix"],
    read: async () =>
      (await depths()).map((depth) => ({
        labels: { lane: depth.lane, prefix: depth.prefix },
        value: value(depth),
      })),
  });
  return [
    gauge("maitred_queue_waiting", "photos that wait", ({ waiting }) => waiting),
    gauge(
      "maitred_queue_delayed",
      "photos of which a try failed and that are tried again",
      ({ delayed }) => delayed,
    ),
    gauge(
      "maitred_queue_oldest_seconds",
      "how long the oldest waiting photo has waited",
      ({ oldestMs }) => oldestMs / 1_000,
    ),
    gauge("maitred_queue_paused", "1 while nobody takes photos of the lane", ({ paused }) => Number(paused)),
  ];
}
