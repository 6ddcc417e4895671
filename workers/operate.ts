/** Part of processes: what operators watch and do at the desk, assembled from its parts. */
import { describeStored } from "../src/backfill/selector.ts";
import type { OperateDeps, Operating } from "../src/http/desk/operate-deps.ts";
import { within } from "../src/http/within.ts";
import { LANES } from "../src/photo.ts";
import { recently } from "../src/recently.ts";
import { addAuditEntry } from "../src/store/audit-log.ts";
import {
  type BackfillRow,
  changeBackfill,
  readBackfillFailures,
  readBackfills,
  retryBackfill,
} from "../src/store/backfills.ts";
import {
  countBadMessages,
  listBadMessages,
  readBadMessage,
  resolveBadMessage,
} from "../src/store/bad-messages.ts";
import { failureCounts } from "../src/store/counts.ts";
import { deliveryFigures, listDeliveries, replayDeliveries } from "../src/store/deliveries.ts";
import { unqueuedState } from "../src/store/events.ts";
import { readWorkers } from "../src/store/models.ts";
import type { Pool } from "../src/store/pool.ts";
import { sweepTotals } from "../src/store/sweeps.ts";
import type { EventIntake } from "./intake.ts";
import { replayBadMessage, replayFailed } from "./replay.ts";

export function openOperate(intake: EventIntake): OperateDeps {
  const { db, queues } = intake;
  // the queue's server may be away while Postgres is not: the page says so, and shows the rest
  const lanes = within(() =>
    Promise.all(
      LANES.map(async (lane) => {
        const { oldestMs, ...depth } = await queues.depth(lane);
        return { lane, ...depth, oldestS: oldestMs / 1_000 };
      }),
    ),
  );
  const slow = recently(() => readSlow(db), SLOW_MS);
  const wrote = (who: string, did: string, about: Record<string, unknown>): Promise<void> =>
    addAuditEntry(db, { who, did, photo: null, about });
  return {
    now: recently(async () => {
      const [depths, unqueued, workers, backfills, rest] = await Promise.all([
        lanes(PATIENCE_MS),
        unqueuedState(db),
        readWorkers(db),
        readRuns(db),
        slow(),
      ]);
      return {
        at: new Date().toISOString(),
        lanes: depths ?? null,
        unqueued,
        workers: workers.map((worker) => ({ ...worker, seenAt: worker.seenAt.toISOString() })),
        backfills,
        ...rest,
      };
    }, NOW_MS),
    async deadDeliveries() {
      const rows = await listDeliveries(db, { state: "dead" }, SHOWN);
      return rows.map(
        ({ seq, destination, photoId, change, attempts, lastError, createdAt, bucket, key }) => {
          const at = createdAt.toISOString();
          return { seq, destination, photoId, change, attempts, error: lastError, at, bucket, key };
        },
      );
    },
    async replayDeliveries({ destination, seq }, by) {
      const replayed = await replayDeliveries(db, { state: "dead", destination, ...(seq && { seq }) });
      await wrote(by, "replayed-deliveries", { destination, ...(seq && { seq }), replayed });
      return replayed;
    },
    async badMessages() {
      const rows = await listBadMessages(db, {}, "0", SHOWN);
      return rows.map(({ id, source, messageId, bytes, code, detail, receivedAt, attempts }) => {
        const at = receivedAt.toISOString();
        return { id, source, messageId, bytes, code, detail, receivedAt: at, attempts };
      });
    },
    badMessage: async (id) => (await readBadMessage(db, id))?.body,
    async replayBadMessage(id, by) {
      const done = await replayBadMessage(intake, id);
      // without the detail, which may quote a key: the log outlives what is forgotten
      if (done) {
        const { state, photos, code } = done;
        await wrote(by, "replayed-message", { message: id, state, photos, code });
      }
      return done;
    },
    async discardBadMessage(id, by) {
      const message = await readBadMessage(db, id);
      if (!message) return undefined;
      if (!(await resolveBadMessage(db, id, "discarded")))
        return { state: message.resolution ?? "discarded" };
      await wrote(by, "discarded-message", { message: id, source: message.source });
      return { state: "discarded" };
    },
    async replayFailures(code, after, by) {
      const done = await replayFailed(intake, code, after);
      if (done.queued > 0) await wrote(by, "replayed-failures", { code, queued: done.queued });
      return done;
    },
    async changeBackfill(id, state, by, why) {
      await changeBackfill(db, id, state, by, why);
      await wrote(by, "changed-backfill", { backfill: id, state, why });
    },
    async retryBackfill(id, code, by) {
      const photos = await retryBackfill(db, id, code, by);
      await wrote(by, "retried-backfill", { backfill: id, ...(code && { code }), photos });
      return photos;
    },
  };
}

/** What changes slowly, and may take longer to count. */
async function readSlow(
  db: Pool,
): Promise<Pick<Operating, "failures" | "destinations" | "badMessages" | "sweeps">> {
  const [failures, destinations, badMessages, sweeps] = await Promise.all([
    failureCounts(db),
    deliveryFigures(db),
    countBadMessages(db),
    sweepTotals(db),
  ]);
  return {
    failures,
    destinations,
    badMessages,
    sweeps: sweeps.map(({ bucket, missed, gone, last }) => ({
      bucket,
      missed,
      gone,
      last: last && {
        prefix: last.prefix,
        finishedAt: last.finishedAt.toISOString(),
        seconds: last.seconds,
        listed: last.listed,
        missed: last.missed,
        gone: last.gone,
      },
    })),
  };
}

/** Those that are not over, and the latest of the others. */
async function readRuns(db: Pool): Promise<Operating["backfills"]> {
  const rows = await readBackfills(db);
  const over = rows.filter(({ state }) => state === "cancelled" || state === "done");
  const open = rows.filter((row) => !over.includes(row));
  const shown = [...open, ...over.slice(0, OVER)].slice(0, SHOWN);
  const failures = await readBackfillFailures(
    db,
    shown.map(({ id }) => id),
  );
  return shown.map((row) => ({
    ...asRun(row),
    failures: failures.flatMap(({ id, code, photos }) => (id === row.id ? { code, photos } : [])),
  }));
}

function asRun(row: BackfillRow): Omit<Operating["backfills"][number], "failures"> {
  const { id, model, propose, state, outcome, maxRate, hours, startedBy, changedBy, why } = row;
  const { waiting, skipped, unreadable, readAll } = row;
  return {
    ...{ id, model, propose, state, outcome, maxRate, hours, startedBy, changedBy, why },
    ...{ waiting, skipped, unreadable, readAll },
    what: describeStored(row.what),
    startedAt: row.startedAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
    judged: row.fed - row.waiting,
  };
}

const NOW_MS = 1_000;
const SLOW_MS = 5_000;
const PATIENCE_MS = 1_500;
const SHOWN = 100;
const OVER = 5;
