import { LANES, type Lane } from "../photo.ts";
import type { Stage } from "./line.ts";
import type { ShadowOutcome } from "./shadow.ts";

/** What one worker did of late; small enough to be told every few seconds, whatever it did. */
interface RecentFigures {
  /** Seconds that these are of: a minute or up to a slot more, and less soon after the start. */
  seconds: number;
  /** Photos that left the line with a verdict. */
  judged: Record<Lane, number>;
  /** Photos that could not be judged, and tries that another one follows. */
  failed: number;
  retried: number;
  /** How many photos went through a stage, and the seconds of all of them together. */
  stages: Partial<Record<Stage, { photos: number; seconds: number }>>;
  /** Model runs by the number of their photos. */
  batches: Record<string, number>;
  /** Seconds of all these runs together. */
  runSeconds: number;
}

export interface Recent {
  left(lane: Lane, judged: boolean): void;
  retried(): void;
  stage(stage: Stage, seconds: number): void;
  batch(photos: number, seconds: number): void;
  shadowed(outcome: ShadowOutcome, photos: number): void;
  figures(): RecentFigures & {
    /** Photos a second in the best five seconds since the start; 0 until ten photos came within one of them. */
    bestPerS: number;
    /** Photos that shadows were offered since the start. */
    shadowed: Record<ShadowOutcome, number>;
  };
}

/**
 * Counts what happens, and forgets it after a minute, in steps of some seconds: memory is bounded whatever the load.
 *
 * @param now milliseconds of any clock that never goes back.
 */
export function createRecent(now: () => number): Recent {
  const begun = now();
  let slots: { index: number; figures: RecentFigures }[] = [];
  let bestPerS = 0;
  const shadowed = { judged: 0, dropped: 0, failed: 0 };
  let burst = { index: -1, photos: 0, since: 0 };

  function slot(): RecentFigures {
    const index = Math.floor(now() / SLOT_MS);
    const last = slots.at(-1);
    if (last?.index === index) return last.figures;
    slots = slots.filter((each) => each.index >= index - SLOTS);
    const figures = none();
    slots.push({ index, figures });
    return figures;
  }

  /** An idle rest of a slot says nothing of how fast photos are judged; less than two seconds are too short to say it. */
  function count(): void {
    const at = now();
    const index = Math.floor(at / SLOT_MS);
    if (burst.index !== index) burst = { index, photos: 0, since: at };
    burst.photos++;
    const busyMs = at - burst.since;
    if (burst.photos < FEW) return;
    // the first of them is what the time is counted from
    const photosPerS = ((burst.photos - 1) * 1_000) / (busyMs < SHORT_MS ? SLOT_MS : busyMs);
    bestPerS = Math.max(bestPerS, photosPerS);
  }
  return {
    left(lane, judged) {
      if (judged) slot().judged[lane]++;
      else slot().failed++;
      count();
    },
    retried() {
      slot().retried++;
    },
    stage: (stage, seconds) => addStage(slot(), stage, { photos: 1, seconds }),
    batch(photos, seconds) {
      addBatches(slot(), String(photos), 1);
      slot().runSeconds += seconds;
    },
    shadowed(outcome, photos) {
      shadowed[outcome] += photos;
    },
    figures() {
      // whole slots and the one that has begun, so that the seconds are exactly those that were counted
      const at = now();
      const first = Math.floor(at / SLOT_MS) - SLOTS;
      const sum = none();
      for (const { index, figures } of slots) if (index >= first) add(sum, figures);
      return { ...sum, seconds: (at - Math.max(begun, first * SLOT_MS)) / 1_000, bestPerS, shadowed };
    },
  };
}

function none(): RecentFigures {
  const judged = Object.fromEntries(LANES.map((lane) => [lane, 0])) as Record<Lane, number>;
  return { seconds: 0, judged, failed: 0, retried: 0, stages: {}, batches: {}, runSeconds: 0 };
}

function add(sum: RecentFigures, more: RecentFigures): void {
  for (const lane of LANES) sum.judged[lane] += more.judged[lane];
  sum.failed += more.failed;
  sum.retried += more.retried;
  sum.runSeconds += more.runSeconds;
  for (const [stage, figures] of Object.entries(more.stages)) addStage(sum, stage as Stage, figures);
  for (const [size, runs] of Object.entries(more.batches)) addBatches(sum, size, runs);
}

function addStage(sum: RecentFigures, stage: Stage, more: { photos: number; seconds: number }): void {
  const { photos, seconds } = sum.stages[stage] ?? { photos: 0, seconds: 0 };
  sum.stages[stage] = { photos: photos + more.photos, seconds: seconds + more.seconds };
}

function addBatches(sum: RecentFigures, size: string, runs: number): void {
  sum.batches[size] = (sum.batches[size] ?? 0) + runs;
}

const SLOT_MS = 5_000;
const SLOTS = 12;
const FEW = 10;
const SHORT_MS = 2_000;
