import { asError, ConfigError, ModerationError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { PhotoJob } from "../photo.ts";
import { isWithin, parseHours } from "./hours.ts";
import { parseRendition } from "./rendition.ts";
import { parseSelector } from "./selector.ts";
import {
  createSource,
  type RunningBackfill,
  type Source,
  type SourceDeps,
  type StoredBackfill,
} from "./source.ts";

/** Who pauses a backfill that cannot go on. */
export const FEEDER = "maitred feed";

export interface FeederDeps extends SourceDeps {
  /** Those that are running, the oldest first. */
  running(): Promise<StoredBackfill[]>;
  /** What was fed before and is not judged yet, `olderThanS` seconds ago or more. */
  waitingPhotos(olderThanS: number): AsyncGenerator<PhotoJob[]>;
  waiting(olderThanS: number): Promise<number>;
  add(photos: readonly PhotoJob[]): Promise<void>;
  /** Photos that wait in the backfill lane. */
  depth(): Promise<number>;
  /** Jobs of the backfill lane: those that wait, are in hand, or are put off. */
  held(): Promise<number>;
  /** How long the oldest upload has waited, in milliseconds. */
  liveOldestMs(): Promise<number>;
  /** Ends those of which nothing is left to do. */
  finish(): Promise<string[]>;
  /** Stops one that cannot go on, for an operator to look at. */
  fail(id: string, why: string): Promise<void>;
  now(): number;
}

interface FeederLimits {
  /** Photos that may wait in the backfill lane before the last page is put there. */
  queue(): Promise<number>;
  /** Nothing is fed while an upload has waited longer, in milliseconds. */
  liveTargetMs: number;
}

interface FeederEvents {
  fed(id: string, photos: number): void;
  finished(id: string): void;
  failed(id: string, error: Error): void;
  /** Something is away; it is tried again. */
  unwell(error: Error): void;
}

interface Feeder extends Closable {
  /** One round of some seconds at most: feeds what there is room for. @returns how many photos it fed. */
  round(): Promise<number>;
  /** Whether the last round fed nothing because an upload had waited for too long. */
  standsBack(): boolean;
}

/**
 * Keeps the backfill lane filled, and at most a page over that, whatever the archive's size: pages are read ahead, so that
 * none can be cut to the room there is. Several backfills take turns, a page each. A page's photos are committed as waiting
 * together with the cursor behind it, and queued afterwards; what a crash in between leaves unqueued is queued again when the
 * feeder starts, when the queue holds so little of it that it must have lost the rest, and whenever it has waited for long.
 */
export function createFeeder(deps: FeederDeps, limits: FeederLimits, events: FeederEvents): Feeder {
  const open = new Map<string, Source>();
  let requeuedAt = Number.NEGATIVE_INFINITY;
  let lostAt = Number.NEGATIVE_INFINITY;
  let finishAt = Number.NEGATIVE_INFINITY;
  let standsBack = false;
  let last = "0";

  async function requeue(): Promise<void> {
    const now = deps.now();
    const due = now - requeuedAt >= REQUEUE_MS;
    if (!due && (now - lostAt < LOST_MS || !(await lost()))) return;
    if (!due) lostAt = now;
    const olderThanS = !due ? SETTLED_S : Number.isFinite(requeuedAt) ? REQUEUE_MS / 1_000 : 0;
    for await (const photos of deps.waitingPhotos(olderThanS)) await deps.add(photos);
    requeuedAt = deps.now();
  }

  /** Whether the queue holds less than half of what it was given: a page that another feeder is about to queue is not of it. */
  async function lost(): Promise<boolean> {
    const waiting = await deps.waiting(SETTLED_S);
    // asked afterwards, since a job leaves the queue only once its photo does not wait any more
    return waiting > 0 && 2 * (await deps.held()) < waiting;
  }

  /** Those that a feeder works on. One that is not understood is stopped, and holds up no other. */
  async function understood(): Promise<RunningBackfill[]> {
    const running: RunningBackfill[] = [];
    for (const backfill of await deps.running()) {
      try {
        const what = parseSelector(backfill.what);
        if (backfill.hours !== null) parseHours(backfill.hours);
        if (backfill.rendition !== null) parseRendition(backfill.rendition);
        if (what.kind !== "policy") running.push({ ...backfill, what });
      } catch (thrown) {
        if (!(thrown instanceof ModerationError)) throw thrown;
        await stop(backfill.id, thrown);
      }
    }
    return running;
  }

  async function stop(id: string, error: ModerationError): Promise<void> {
    await deps.fail(id, `${error.code}: ${error.message}`);
    events.failed(id, error);
  }

  async function sources(running: readonly RunningBackfill[]): Promise<Source[]> {
    for (const [id, source] of open) {
      const now = running.find((backfill) => backfill.id === id);
      if (now?.retrying === source.backfill.retrying) continue;
      await source.close();
      open.delete(id);
    }
    const size = Math.max(1, Math.min(PAGE, await limits.queue()));
    // another model's verdict would not count
    const able = running.filter(({ workers, able }) => workers === 0 || able > 0);
    return able
      .filter(({ readAll, retrying, rests }) => (!readAll || retrying) && !rests)
      .filter(({ hours }) => !hours || isWithin(parseHours(hours), new Date(deps.now())))
      .map((backfill) => {
        const source = open.get(backfill.id) ?? createSource(deps, backfill, size);
        open.set(backfill.id, source);
        return source;
      });
  }

  /** From the one behind the last on, for there may be room for a single page. */
  function inTurn(all: readonly Source[]): Source[] {
    const next = Math.max(
      0,
      all.findIndex(({ backfill }) => Number(backfill.id) > Number(last)),
    );
    return [...all.slice(next), ...all.slice(0, next)];
  }

  /** @returns photos fed, or undefined when there is nothing more to be had of it for now. */
  async function turn(source: Source): Promise<number | undefined> {
    const { id } = source.backfill;
    try {
      const photos = await source.feed();
      if (!photos) {
        // stopped meanwhile, or fed by another process: the next round reads where it stands
        await source.close();
        open.delete(id);
        return undefined;
      }
      // one with a rate rests now: its next page would be refused, and its list opened anew
      if (photos === "elsewhere") return source.backfill.maxRate === null ? 0 : undefined;
      await deps.add(photos);
      events.fed(id, photos.length);
      return photos.length;
    } catch (thrown) {
      await source.close();
      open.delete(id);
      const { code, message } = asError(thrown) as NodeJS.ErrnoException;
      if (thrown instanceof ModerationError && !thrown.retry) await stop(id, thrown);
      // it would refuse the same at every try
      else if (REFUSED.test(String(code)))
        await stop(id, new ConfigError(`Postgres refuses what it names: ${message}`, { cause: thrown }));
      else {
        // the others go on; this one is read again from where it stands
        events.unwell(asError(thrown));
      }
      return undefined;
    }
  }

  /** It looks up each photo that waits: where these are many, less often, so that a round is spent on little else. */
  async function finish(): Promise<void> {
    const since = deps.now();
    // a clock that was set back must not make it wait
    if (since < finishAt && finishAt - since <= MOST_REST_MS) return;
    for (const id of await deps.finish()) events.finished(id);
    finishAt = deps.now() + Math.min(MOST_REST_MS, REST * (deps.now() - since));
  }

  return {
    async round() {
      // before anything is queued for them
      const running = await understood();
      await requeue();
      await finish();
      let fed = 0;
      let all = inTurn(await sources(running));
      standsBack = all.length > 0 && (await deps.liveOldestMs()) > limits.liveTargetMs;
      if (all.length === 0 || standsBack) return 0;
      let room = (await limits.queue()) - (await deps.depth());
      // what is skipped takes no room: of an archive that is decided already that may be hours
      const until = deps.now() + ROUND_MS;
      while (all.length > 0 && deps.now() < until) {
        const still: Source[] = [];
        for (const source of all) {
          if (room <= 0) break;
          last = source.backfill.id;
          const photos = await turn(source);
          if (photos === undefined) continue;
          fed += photos;
          room -= photos;
          // one with a rate may rest now, as the next round reads; what is skipped costs nothing
          if (source.backfill.maxRate === null || photos === 0) still.push(source);
        }
        all = still;
      }
      return fed;
    },
    standsBack: () => standsBack,
    async close() {
      for (const source of open.values())
        await source.close().catch((error: unknown) => events.unwell(asError(error)));
      open.clear();
    },
  };
}

/** SQL states of data that no column takes, and of what is longer than an index holds. */
const REFUSED = /^(22|54)...$/;
const PAGE = 1_000;
const ROUND_MS = 5_000;
const REQUEUE_MS = 10 * 60_000;
/** What was lost is queued again no more often than this: it may wait in another group's queue, which nobody here can see. */
const LOST_MS = 30_000;
const SETTLED_S = 5;
/** How many times as long as it took to look for what is done nobody looks again. */
const REST = 20;
const MOST_REST_MS = 60_000;
