import { z } from "zod";
import { LANES } from "../../photo.ts";
import { id, text, time } from "./schemas.ts";

/** The shapes of what operators see and do. Times are ISO 8601, ids are text, durations in seconds unless named otherwise. */

const lane = z.enum(LANES);
const count = z.number().min(0);
const code = z.string().regex(/^[A-Z_]{1,60}$/, "expected a failure code");
const why = text(500).trim().default("");
const saysWhy = ({ state, why }: { state: string; why: string }): boolean =>
  state === "running" || why !== "";

export const figures = z
  .object({
    seconds: z.number().describe("what these figures are of: about a minute"),
    judged: z.record(lane, count),
    failed: count,
    retried: count,
    stages: z.record(z.string(), z.object({ photos: count, seconds: count })),
    batches: z.record(z.string(), count).describe("model runs by the number of their photos"),
    runSeconds: count.describe("of all these runs together"),
  })
  .describe("what one worker did of late");

export const backfill = z.object({
  id,
  what: z.string(),
  model: z.string(),
  propose: z.boolean(),
  state: z.enum(["running", "paused", "cancelled", "done"]),
  held: z.string().nullable().describe("what one that runs waits for; null: nothing holds it"),
  outcome: z.string().nullable().describe("applied, discarded or rolled back"),
  maxRate: z.number().nullable().describe("photos a second"),
  hours: z.string().nullable(),
  startedBy: z.string(),
  startedAt: time,
  changedBy: z.string().nullable(),
  why: z.string().nullable(),
  endedAt: time.nullable(),
  judged: count,
  waiting: count,
  skipped: count,
  unreadable: count,
  readAll: z.boolean().describe("false: how many there are is not known yet"),
  part: z.number().min(0).max(1).nullable().describe("how much was read; null: nobody knows of how much"),
  photosPerS: count.describe("since it was looked at first, or taken up last"),
  leftS: count.nullable().describe("how long the rest takes at that rate; null: nobody knows"),
  changed: count.describe("photos that got another verdict or category than before"),
  failures: z.array(z.object({ code: z.string(), photos: count })),
});

export const operating = z.object({
  at: time,
  lanes: z
    .array(
      z.object({
        lane,
        waiting: count,
        active: count,
        delayed: count.describe("that failed, and are tried again later"),
        paused: z.boolean(),
        pausedBy: z
          .object({ who: z.string(), at: time, why: z.string() })
          .nullable()
          .describe("null: it is not paused, or nobody wrote down who did it"),
        oldestS: count.describe("how long the oldest waiting photo has waited; 0 when none does"),
      }),
    )
    .nullable()
    .describe("null while the queue's server is away"),
  unqueued: z.object({ photos: count, oldestS: count }).describe("committed, and in no queue"),
  workers: z.array(
    z.object({
      worker: z.string(),
      model: z.string(),
      variant: z.string(),
      provider: z.string(),
      pinned: z.boolean(),
      problem: z.string(),
      seenAt: time,
      figures: figures.nullable().describe("null: it has not said, or is of another version"),
    }),
  ),
  failures: z.array(z.object({ code: z.string(), photos: count })).describe("current photos that failed"),
  backfills: z.array(backfill).describe("those that are not over, then the latest of the others"),
  destinations: z.array(
    z.object({
      destination: z.string(),
      to: z.string().nullable().describe("host of a webhook; of others the bucket, null for all"),
      kind: z.string(),
      enabled: z.boolean(),
      pending: count.describe("of more than 10,000 it is 10,000"),
      oldestS: count.describe(
        "since the oldest change of which it is still to be told; 0 where there is none",
      ),
      lastError: z
        .string()
        .nullable()
        .describe("of the oldest; null: it was not tried yet, or nothing waits"),
      dead: count.describe("as pending"),
    }),
  ),
  badMessages: count,
  sweeps: z.array(
    z.object({
      bucket: z.string(),
      missed: count.describe("photos that events had missed, of all sweeps"),
      gone: count.describe("removals that events had missed, of all sweeps"),
      last: z
        .object({
          prefix: z.string(),
          finishedAt: time,
          seconds: count,
          listed: count,
          missed: count,
          gone: count,
        })
        .nullable(),
    }),
  ),
});

export const deadDeliveries = z.object({
  deliveries: z
    .array(
      z.object({
        seq: id,
        destination: z.string(),
        photoId: id,
        change: z.string(),
        attempts: count,
        error: z.string().nullable(),
        at: time,
        bucket: z.string(),
        key: z.string(),
      }),
    )
    .describe("the newest hundred"),
});
export const replayDeliveries = z.strictObject({
  destination: text(100).min(1),
  seq: id.optional().describe("one change; without it every dead delivery to the destination"),
});
export const replayed = z.object({ replayed: count });

export const badMessages = z.object({
  messages: z
    .array(
      z.object({
        id,
        source: z.string(),
        messageId: z.string(),
        bytes: count,
        code: z.string(),
        detail: z.string(),
        receivedAt: time,
        attempts: count,
      }),
    )
    .describe("the oldest hundred of those that wait"),
});
export const badMessageAsked = z.object({ id });
export const badMessage = z.object({ id, body: z.string().describe("at most 20,000 characters of it") });
export const settled = z.object({
  state: z.enum(["replayed", "discarded", "failed"]),
  photos: z.array(z.string()),
  code: z.string().nullable(),
  detail: z.string().nullable(),
});

export const replayFailures = z.strictObject({
  code,
  after: id.optional().describe("the after of the answer before"),
});
export const failuresReplayed = z.object({
  queued: count,
  after: id.nullable().describe("ask again with it: more are left; null where none is"),
});

export const laneAsked = z.object({ lane });
export const changeLane = z
  .strictObject({ state: z.enum(["running", "paused"]), why })
  .refine(saysWhy, { message: "expected why", path: ["why"] });

export const backfillAsked = z.object({ id });
export const changeBackfill = z
  .strictObject({
    state: z.enum(["running", "paused", "cancelled"]),
    why,
  })
  .refine(saysWhy, { message: "expected why", path: ["why"] });
export const retryBackfill = z.strictObject({ code: code.optional() });
export const retried = z.object({ photos: count });
