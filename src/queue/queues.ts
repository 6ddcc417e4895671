import { type IQueueBackend, type JobType, Queue } from "bullmq";
import { z } from "zod";
import type { Closable } from "../lifecycle.ts";
import { LANES, type Lane, type PhotoJob, UPLOADERS } from "../photo.ts";
import type { QueueServer } from "./server.ts";

export interface LaneDepth {
  waiting: number;
  active: number;
  delayed: number;
  paused: boolean;
  /** Milliseconds that the oldest waiting photo has waited, of one that was put off since it was due at the latest; 0 when none does. */
  oldestMs: number;
}

/** The two queues, from the side that adds to them, pauses them and looks at them. */
export interface Queues extends Closable {
  /**
   * Adding a photo that already waits changes nothing. One that is in hand is handed out once more afterwards, however often it
   * was added meanwhile: what became of it may be committed already.
   */
  add(lane: Lane, photos: readonly PhotoJob[]): Promise<void>;
  /** How many jobs of these photos there are, waiting or in hand. */
  held(photoIds: readonly string[]): Promise<number>;
  /** How many of these photos are in hand, or put off; of very many jobs it looks at a thousand a lane. */
  howMany(state: "active" | "delayed", photoIds: ReadonlySet<string>): Promise<number>;
  /**
   * Takes the jobs of these photos out of both lanes. One that is in hand stays until its worker is done with it, and none follows it.
   *
   * @returns how many were taken out, and how many are in hand.
   */
  remove(photoIds: readonly string[]): Promise<{ removed: number; inHand: number }>;
  /** What is in hand is finished, and nothing else is taken by any worker until `resume`: BullMQ keeps that with the queue. */
  pause(lane: Lane): Promise<void>;
  resume(lane: Lane): Promise<void>;
  depth(lane: Lane): Promise<LaneDepth>;
  /** Waits for the first connection, which BullMQ tries only once on Postgres. */
  ready(): Promise<void>;
  /** As QueueServer. */
  connected(): boolean;
  /** What tells these queues from those of other groups with the same Postgres. */
  readonly prefix: string;
  /** As BullMQ knows them, for what shows them so. */
  readonly own: readonly PhotoQueue[];
}

/** @param checked false: before `server.check`, which says what is wrong with it, and BullMQ would say it on the console besides. */
export function openQueues(server: QueueServer, onError: (error: Error) => void, checked = true): Queues {
  const queues = Object.fromEntries(
    LANES.map((lane) => [lane, openQueue(server, lane, onError, checked)]),
  ) as Record<Lane, PhotoQueue>;
  async function* jobsOf(photoIds: readonly string[]) {
    for (const asked of photoIds.flatMap(asksOf)) {
      for (const queue of Object.values(queues)) {
        const id = await queue.getDeduplicationJobId(asked);
        if (id && (await queue.getJob(id))) yield { queue, id };
      }
    }
  }
  return {
    own: Object.values(queues),
    prefix: server.prefix,
    async held(photoIds) {
      let jobs = 0;
      for await (const _ of jobsOf(photoIds)) jobs++;
      return jobs;
    },
    async howMany(state, photoIds) {
      const jobs = await Promise.all(
        Object.values(queues).map((queue) => queue.getJobs([state], 0, COUNTED - 1)),
      );
      // of a photo there may be two
      const ids = new Set(jobs.flat().map((job) => parsePayload(job?.data)?.id ?? ""));
      return [...ids].filter((id) => photoIds.has(id)).length;
    },
    async remove(photoIds) {
      // first, so that nothing takes the place of a job in hand that ends meanwhile
      await server.forgetNext(photoIds.flatMap(asksOf));
      let [removed, inHand] = [0, 0];
      for await (const { queue, id } of jobsOf(photoIds)) {
        if ((await queue.remove(id)) === 1) removed++;
        else inHand++;
      }
      return { removed, inHand };
    },
    async add(lane, photos) {
      for (let start = 0; start < photos.length; start += PAGE) {
        const page = photos.slice(start, start + PAGE);
        await queues[lane].addBulk(
          page.map((photo) => ({ name: "photo", data: photo, opts: optionsOf(photo) })),
        );
      }
    },
    pause: (lane) => queues[lane].pause(),
    resume: (lane) => queues[lane].resume(),
    async depth(lane) {
      const queue = queues[lane];
      const [counts, paused, first] = await Promise.all([
        queue.getJobCounts(...WAITING, "active", "delayed"),
        queue.isPaused(),
        queue.getJobs(WAITING, 0, LOOKED_AT - 1, true),
      ]);
      const { waiting = 0, paused: held = 0, active = 0, delayed = 0 } = counts;
      const now = Date.now();
      // one that was put off waits for its store, or for Postgres: only since it is due would more workers help it
      const ages = first.map(
        (job) => now - (job?.processedOn ? job.processedOn + MOST_PUT_OFF_MS : (job?.timestamp ?? now)),
      );
      const oldestMs = Math.max(0, ...ages);
      return { waiting: waiting + held, active, delayed, paused, oldestMs };
    },
    async ready() {
      await Promise.all(Object.values(queues).map((queue) => queue.waitUntilReady()));
    },
    connected: server.connected,
    async close() {
      await Promise.all(Object.values(queues).map((queue) => queue.close()));
    },
  };
}

type PhotoQueue = Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend>;

function openQueue(
  { connection, prefix, backend }: QueueServer,
  lane: Lane,
  onError: (error: Error) => void,
  checked: boolean,
): PhotoQueue {
  const options = { connection, prefix, skipVersionCheck: !checked };
  const queue: PhotoQueue = new Queue(lane, options, backend);
  queue.on("error", onError);
  return queue;
}

/** What a backfill fed may come to nothing by then, and must not stand in for what somebody else asks of the photo. */
function askOf({ id, fed }: Pick<PhotoJob, "id" | "fed">): string {
  return fed ? `fed-${id}` : `photo-${id}`;
}

function asksOf(id: string): string[] {
  return [askOf({ id }), askOf({ id, fed: true })];
}

function optionsOf(photo: PhotoJob): object {
  return {
    // one job a photo that waits, and one for backfills; an id of its own would also be ignored while its job is in hand, and what
    // is asked after the commit would be lost
    deduplication: { id: askOf(photo), keepLastIfActive: true },
    // a job leaves by success alone, which is when its photo's verdict or failure is committed: the consumer
    // counts the tries that a photo has, and how long it waits between them
    attempts: 1_000_000,
    backoff: { type: "custom" },
    // Postgres is the record of what became of a photo; a finished job would only stand in the way of its replay
    removeOnComplete: true,
    removeOnFail: true,
  };
}

const ref = {
  store: z.enum(["s3", "folder"]),
  bucket: z.string().min(1),
  key: z.string().min(1),
  version: z.string(),
};
const payload = z.object({
  id: z.string().regex(/^\d+$/),
  ...ref,
  rendition: z.object(ref).optional(),
  fed: z.literal(true).optional(),
  found: z.literal(true).optional(),
  known: z.object({
    listing: z.string().optional(),
    uploader: z.enum(UPLOADERS).optional(),
    claimed: z.string().optional(),
  }),
});

/** The photo of a job, or undefined for a job that is not one of ours. */
export function parsePayload(data: unknown): PhotoJob | undefined {
  const result = payload.safeParse(data);
  return result.success ? (result.data as PhotoJob) : undefined;
}

/** Milliseconds after which a photo that was put off, or is tried again, is due at the latest. */
export const MOST_PUT_OFF_MS = 120_000;

/** On Postgres each job of a page takes a lock, and the server has a few thousand for all its clients. */
const PAGE = 100;

/** Of the photos that wait, how many are looked at for the oldest. */
const LOOKED_AT = 100;

const COUNTED = 1_000;

/** While a queue is paused, BullMQ's Postgres backend counts what waits under a name that its types leave out. */
const WAITING = ["waiting", "paused"] as JobType[];
