import { describe, expect } from "vitest";
import { ingestEvents, queueUnqueued } from "../../src/intake/ingest-events.ts";
import type { Lane, PhotoJob } from "../../src/photo.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueues, type Queues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import { addBackfill, retryBackfill } from "../../src/store/backfills.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { requeueLost } from "../../src/wiring/intake.ts";
import { BACKENDS, test as base, type Database, rows } from "../fixtures.ts";
import { fail, judged, ofAll, register, removeObject } from "../verdicts.ts";

interface Line {
  queues: Queues;
  /** Judges what comes, and first the first of it, which `first` decides and commits. */
  judging(lane: Lane, first: (photo: PhotoJob) => Promise<void>): Promise<void>;
}

const test = base.extend<{ open(backend: (typeof BACKENDS)[number]): Line }>({
  open: async ({ configFor, db, scope }, use) => {
    const quiet = (): void => {};
    await use((backend) => {
      const server = scope.hold("server", openQueueServer(configFor(backend), quiet));
      const queues = scope.hold("queues", openQueues(server, quiet));
      return {
        queues,
        async judging(lane, first) {
          let judge = async (photo: PhotoJob): Promise<void> => {
            judge = async ({ id, fed }) =>
              void (await recordOutcomes(db.pool, [{ ...judged(id, "shown"), ...(fed && { fed }) }]));
            await first(photo);
          };
          const settings = { concurrency: 1, lockMs: 30_000, attempts: 3, backoffMs: 10, patienceMs: 0 };
          const handlers = {
            photo: (photo: PhotoJob) => judge(photo),
            abandoned: async () => {},
            error: quiet,
          };
          scope.hold("consumer", await consume(server, lane, settings, handlers));
        },
      };
    });
  },
});

const states = async (db: Database): Promise<string[]> =>
  (await db.pool.query("select state from photos order by id")).rows.map(({ state }) => state);

describe.each(BACKENDS)(
  "with the queue on %s, a photo whose job has committed its failure and is not gone yet",
  (backend) => {
    test("is judged again when its upload is told of again", async ({ db, open }) => {
      const { queues, judging } = open(backend);
      const deps = {
        record: (events: Parameters<typeof recordEvents>[1]) => recordEvents(db.pool, events, "right"),
        add: queues.add,
        markQueued: (ids: readonly string[]) => markQueued(db.pool, ids),
        unqueued: (olderThanS: number, limit: number) => unqueuedPhotos(db.pool, olderThanS, limit),
      };
      const created = { kind: "created", store: "s3", bucket: "photos", key: "a", version: "v1" } as const;
      const tell = (order: string) =>
        ingestEvents(deps, [{ ...created, order, known: {}, receivedAt: new Date() }]);
      await tell("01");
      await judging("live", async ({ id }) => {
        await fail(db, id);
        expect(await tell("02")).toMatchObject([{ photoId: id, outcome: "accepted" }]);
      });
      await expect.poll(() => states(db)).toEqual(["shown"]);
      expect(await queueUnqueued(deps, 0)).toBe(0);
    });

    test("is judged again when its backfill has it tried again", async ({ db, open }) => {
      const { queues, judging } = open(backend);
      const photo = await register(db, "a");
      const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1" });
      const page = { ids: [photo], cursor: { after: photo }, end: true, unreadable: 0 };
      const queue = (photos: PhotoJob[] | undefined) =>
        queues.add(
          "backfill",
          photos!.map((each) => ({ ...each, fed: true })),
        );
      await queue(await feedBackfill(db.pool, run, null, page));
      await judging("backfill", async ({ id }) => {
        await fail(db, id);
        expect(await retryBackfill(db.pool, run, undefined, "oda")).toBe(1);
        await queue(await feedRetries(db.pool, run, 10));
      });
      await expect.poll(() => states(db)).toEqual(["shown"]);
    });
  },
);

describe.each(BACKENDS)("with the queue on %s, uploads that it lost", (backend) => {
  test("are queued again, and neither those that are in it nor young ones, nor what is gone or of the archive", async ({
    db,
    open,
  }) => {
    const { queues } = open(backend);
    const ids: string[] = [];
    for (const key of ["a", "b", "c", "d", "gone", "archive"]) ids.push(await register(db, key));
    await removeObject(db, "gone");
    await rows(db, "update photos set lane = 'backfill' where key = 'archive'");
    const job = (id: string, key: string): PhotoJob => ({
      id,
      store: "s3",
      bucket: "photos",
      key,
      version: "etag:1",
      known: {},
    });
    // two that are young, as there always are, and one that has waited for long
    await queues.add("live", [job("901", "x"), job("902", "y"), job(ids[0]!, "a")]);
    const age = (...keys: string[]) =>
      db.pool.query("update photos set registered_at = now() - interval '20 minutes' where key = any ($1)", [
        keys,
      ]);
    await age("a");
    expect(await requeueLost(db.pool, queues)).toBe(0);
    await age("b", "c", "gone", "archive");
    expect(await requeueLost(db.pool, queues)).toBe(2);
    expect(await queues.held(ids)).toBe(3);
    expect((await queues.depth("live")).waiting).toBe(5);
    expect(await requeueLost(db.pool, queues)).toBe(0);
  });

  test("are queued again together, however many they are", async ({ db, open }) => {
    const { queues } = open(backend);
    const photos = Array.from({ length: 101 }, (_, n) => ({
      store: "s3" as const,
      bucket: "photos",
      key: `k${n}`,
      version: "",
      known: {},
    }));
    await registerPhotos(db.pool, photos, "live");
    await rows(db, "update photos set registered_at = now() - interval '20 minutes'");
    expect(await requeueLost(db.pool, queues)).toBe(101);
    expect((await queues.depth("live")).waiting).toBe(101);
  });
});
