/** Part of processes: what operators watch and do at the desk, assembled from its parts. */

import { cachedFor, within } from "../asking.ts";
import { blockedReason, createRate, partRead, photosLeft } from "../backfill/progress.ts";
import { describeStored } from "../backfill/selector.ts";
import type { OperateDeps, Operating, Settled } from "../http/desk/operate-deps.ts";
import { addAuditEntry, audited } from "../store/audit-log.ts";
import { readBackfillSums } from "../store/backfill-counts.ts";
import { changeBackfill, type ListedBackfill, readBackfills, retryBackfill } from "../store/backfills.ts";
import {
  countBadMessages,
  listBadMessages,
  readBadMessage,
  resolveBadMessage,
} from "../store/bad-messages.ts";
import { failureCounts } from "../store/counts.ts";
import { deliveryFigures, listDeliveries, replayDeliveries } from "../store/deliveries.ts";
import { unqueuedState } from "../store/events.ts";
import { readWorkers } from "../store/models.ts";
import type { Pool, Queryable } from "../store/pool.ts";
import { sweepTotals } from "../store/sweeps.ts";
import type { EventIntake } from "./intake.ts";
import { changeLane, readLanes } from "./lanes.ts";
import { replayBadMessage, replayFailed } from "./replay.ts";

export function openOperate(intake: EventIntake): OperateDeps {
  const { db } = intake;
  // the queue's server may be away while Postgres is not: the page says so, and shows the rest
  const lanes = within(() => readLanes(intake));
  const slow = cachedFor(() => readSlow(db), SLOW_MS);
  const runs = createRuns(db);
  // before what needs the queue too, so that whoever dies in between has said who asked for it
  const asks = (who: string, did: string, about: Record<string, unknown>): Promise<void> =>
    addAuditEntry(db, { who, did, photo: null, about });
  const does = <T>(
    who: string,
    did: string,
    act: (client: Queryable) => Promise<{ answer: T; about?: Record<string, unknown> }>,
  ): Promise<T> =>
    audited(db, async (client) => {
      const { answer, about } = await act(client);
      return { answer, entry: about && { who, did, photo: null, about } };
    });
  return {
    now: cachedFor(async () => {
      const [depths, unqueued, workers, backfills, rest] = await Promise.all([
        lanes(PATIENCE_MS),
        unqueuedState(db),
        readWorkers(db),
        runs(),
        slow(),
      ]);
      return {
        at: new Date().toISOString(),
        lanes:
          depths?.map(({ pausedBy, ...lane }) => ({
            ...lane,
            pausedBy: pausedBy && { ...pausedBy, at: pausedBy.at.toISOString() },
          })) ?? null,
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
    replayDeliveries: ({ destination, seq }, by) =>
      does(by, "replayed-deliveries", async (client) => {
        const which = { destination, ...(seq && { seq }) };
        let replayed = 0;
        for await (const page of replayDeliveries(client, { state: "dead", ...which }))
          replayed += page.replayed;
        return { answer: replayed, about: { ...which, replayed } };
      }),
    async badMessages() {
      const rows = await listBadMessages(db, {}, "0", SHOWN);
      return rows.map(({ id, source, messageId, bytes, code, detail, receivedAt, attempts }) => {
        const at = receivedAt.toISOString();
        return { id, source, messageId, bytes, code, detail, receivedAt: at, attempts };
      });
    },
    badMessage: async (id) => (await readBadMessage(db, id))?.body,
    async replayBadMessage(id, by) {
      const message = await readBadMessage(db, id);
      if (!message) return undefined;
      if (!message.resolution) await asks(by, "replayed-message", { message: id, source: message.source });
      return replayBadMessage(intake, id);
    },
    async discardBadMessage(id, by) {
      const message = await readBadMessage(db, id);
      if (!message) return undefined;
      return does<Settled>(by, "discarded-message", async (client) => {
        const discarded = await resolveBadMessage(client, id, "discarded");
        if (!discarded) return { answer: { state: message.resolution ?? "discarded" } };
        return { answer: { state: "discarded" }, about: { message: id, source: message.source } };
      });
    },
    replayFailures: (code, after, by) =>
      replayFailed(intake, code, after, (photos) => asks(by, "replayed-failures", { code, photos })),
    // these write down themselves who did it
    changeLane: (lane, state, by, why) => changeLane(intake, lane, state, by, why),
    changeBackfill: (id, state, by, why) => changeBackfill(db, id, state, by, why),
    retryBackfill: (id, code, by) => retryBackfill(db, id, code, by),
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
    destinations: destinations.map(({ oldestAt: _, ...each }) => each),
    badMessages,
    sweeps: sweeps.map(({ last, ...all }) => ({
      ...all,
      last: last && { ...last, finishedAt: last.finishedAt.toISOString() },
    })),
  };
}

/** Those that are not over, and the latest of the others; how fast they are, from asking again and again. */
function createRuns(db: Pool): () => Promise<Operating["backfills"]> {
  const rates = new Map<string, ReturnType<typeof createRate>>();
  return async () => {
    const rows = await readBackfills(db);
    const over = rows.filter(({ state }) => state === "cancelled" || state === "done");
    const open = rows.filter((row) => !over.includes(row));
    for (const id of rates.keys()) if (!open.some((row) => row.id === id)) rates.delete(id);
    const shown = [...open, ...over.slice(0, OVER)].slice(0, SHOWN);
    const sums = await readBackfillSums(
      db,
      shown.map(({ id }) => id),
    );
    return shown.map((row) => {
      const rateOf = rates.get(row.id) ?? createRate(() => performance.now());
      if (open.includes(row)) rates.set(row.id, rateOf);
      const of = sums.filter(({ id }) => id === row.id);
      return {
        ...asRun(row, rateOf(row)),
        changed: of.reduce((sum, { changed }) => sum + changed, 0),
        failures: of.flatMap(({ code, photos }) => (code === "" ? [] : { code, photos })),
      };
    });
  };
}

function asRun(
  row: ListedBackfill,
  rate: number,
): Omit<Operating["backfills"][number], "failures" | "changed"> {
  const { id, model, propose, state, outcome, maxRate, hours, startedBy, changedBy, why } = row;
  const { waiting, skipped, unreadable, readAll } = row;
  const left = photosLeft(row);
  return {
    ...{ id, model, propose, state, outcome, maxRate, hours, startedBy, changedBy, why },
    ...{ waiting, skipped, unreadable, readAll },
    what: describeStored(row.what),
    startedAt: row.startedAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
    judged: row.judged,
    held: blockedReason(row, new Date()) ?? null,
    part: partRead(row) ?? null,
    photosPerS: rate,
    leftS: left !== undefined && rate > 0 ? left / rate : null,
  };
}

const NOW_MS = 1_000;
const SLOW_MS = 5_000;
const PATIENCE_MS = 1_500;
const SHOWN = 100;
const OVER = 5;
