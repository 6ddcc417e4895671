import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { expect } from "vitest";
import { codeOf, ReplacedError } from "../../src/errors.ts";
import { random as randomly } from "../../src/evaluate/statistics.ts";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";
import type { Lane, PhotoJob } from "../../src/photo.ts";
import type { Queues } from "../../src/queue/queues.ts";
import { markQueued, recordEvents, type StoredEvent, unqueuedPhotos } from "../../src/store/events.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { versionOf } from "../../src/version.ts";
import { openAdoptReplacement } from "../../src/wiring/adopt-replacement.ts";
import { test } from "../fixtures.ts";
import { judged } from "../verdicts.ts";

/** Where workers do not look again, 133, 167 and 179 end without what is there. */
const [FIRST, LAST] = [130, 179];
const Bucket = "photos";

test("what is shown once all events have come, late, twice and in any order, is what is there", async ({
  db,
  configFor,
  scope,
}) => {
  const fauxqs = await startFauxqs({ port: 0, logger: false });
  scope.onClose("fauxqs", () => fauxqs.stop());
  const config = configFor("postgres", { MAITRED_S3_ENDPOINT: fauxqs.address });
  const s3 = connectS3(config, 4);
  scope.onClose("S3", () => s3.destroy());
  await s3.send(new CreateBucketCommand({ Bucket }));
  const fetch = createS3Fetch(s3);
  let jobs: PhotoJob[] = [];
  const queues = {
    connected: () => true,
    add: async (_: Lane, photos: readonly PhotoJob[]) => void jobs.push(...photos),
  };
  const lookAgain = openAdoptReplacement(config, { db: db.pool, queues: queues as unknown as Queues }, scope);

  async function judge(photo: PhotoJob): Promise<void> {
    const fetched = await fetch(photo, { maxBytes: 1_000, timeoutMs: 10_000 }).catch((error: Error) => error);
    const gone = { failure: "GONE", message: "gone", transient: false } as const;
    if (fetched instanceof Error) expect(codeOf(fetched)).toBe("GONE");
    const verdict: Outcome = judged(photo.id, "shown");
    await recordOutcomes(db.pool, [fetched instanceof Error ? { ...verdict, result: gone } : verdict]);
    if (fetched instanceof ReplacedError && !photo.found) await lookAgain(photo, "live");
  }
  async function work(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const waiting = [...jobs, ...(await unqueuedPhotos(db.pool, 0, 100))];
      if (waiting.length === 0) return;
      jobs = [];
      const ids = waiting.map(({ id }) => id);
      await markQueued(db.pool, ids);
      for (const photo of waiting) await judge(photo);
    }
  }

  for (let seed = FIRST; seed <= LAST; seed++) {
    const random = randomly(seed);
    const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
    const about = { store: "s3", bucket: Bucket, key: String(seed), known: {} } as const;
    const skewMs = one([0, 0, -90_000, -5_000, 3_000]);
    const handlers = one([0, 0.4, 1]);
    /** What is on its way: when it comes, and when it was said, in milliseconds of this history. */
    let underway: { at: number; said: number; event: StoredEvent }[] = [];
    let [now, order] = [0, 100];
    let there: string | undefined;

    const say = (kind: StoredEvent["kind"], version: string): void => {
      order++;
      for (let times = random() < 0.2 ? 2 : 1; times > 0; times--) {
        const at = now + one([0, 0, 100, 2_000, 30_000, 180_000, 600_000]);
        underway.push({ at, said: now + skewMs, event: { ...about, kind, version, order: String(order) } });
      }
      if (kind === "removed" || random() >= handlers) return;
      const said = now + one([0, 100, 2_000, 30_000]);
      const named = random() < 0.7 ? version : "";
      const at = said + one([0, 0, 500, 120_000]);
      underway.push({ at, said, event: { ...about, kind, version: named, order: null } });
    };
    const act = async (): Promise<void> => {
      const object = { Bucket, Key: about.key };
      const dice = random();
      if (dice < 0.5) {
        const { ETag } = await s3.send(new PutObjectCommand({ ...object, Body: one(["a", "b", "c", "d"]) }));
        there = versionOf(undefined, ETag);
        say("created", there);
      } else if (dice < 0.65 && there) {
        await s3.send(new DeleteObjectCommand(object));
        there = undefined;
        say("removed", "");
      }
    };
    /** Time is what lies in the table further back. */
    const pass = async (ms: number): Promise<void> => {
      now += ms;
      const back = `interval '${ms} milliseconds'`;
      await db.pool.query(`update photos set registered_at = registered_at - ${back}, revived_at = revived_at - ${back},
        superseded_at = superseded_at - ${back}, decided_at = decided_at - ${back} where key = '${about.key}'`);
      await db.pool.query(`update object_order set told = told - ${back} where key = '${about.key}'`);
      const come = underway.filter(({ at }) => at <= now).toSorted(() => random() - 0.5);
      underway = underway.filter(({ at }) => at > now);
      for (const { said, event } of come) {
        const receivedAt = new Date(Date.now() + Math.min(0, said - now));
        await recordEvents(db.pool, [{ ...event, receivedAt }], "right");
        if (random() < 0.3) await work(1);
      }
    };

    for (let steps = 3 + Math.floor(random() * 7); steps > 0; steps--) {
      await act();
      if (random() < 0.5) await work(one([1, 10]));
      await pass(one([0, 300, 2_000, 2_000, 30_000, 120_000, 600_000]));
      if (random() < 0.6) await work(one([1, 10]));
    }
    await pass(3_600_000);
    await work(10);
    expect(jobs).toEqual([]);
    const shown = await db.pool.query("select version from public_photos where key = $1", [about.key]);
    expect(shown.rows, `history ${seed}`).toEqual(there ? [{ version: there }] : []);
  }
});
