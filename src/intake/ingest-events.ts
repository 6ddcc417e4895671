import { asError, UpstreamError } from "../errors.ts";
import { byLane, type EventOutcome, type Lane, type PhotoJob } from "../photo.ts";
import type { PhotoEvent } from "./event.ts";

/** The queues, and the table of what is not in one yet. */
export interface QueueDeps {
  add(lane: Lane, photos: readonly PhotoJob[]): Promise<void>;
  /** Says that a queue holds these photos. */
  markQueued(ids: readonly string[]): Promise<void>;
  /** Photos that have been waiting for a queue for that long, at most `limit`, each with the lane that it is for. */
  unqueued(olderThanS: number, limit: number): Promise<(PhotoJob & { lane: Lane })[]>;
}

export interface EventDeps extends QueueDeps {
  /** Acts on events in one transaction, and answers in their order. */
  record(events: readonly PhotoEvent[]): Promise<EventOutcome[]>;
}

/**
 * Acts on events and queues the photos that they make known, after the commit: a photo that is queued is one that a
 * worker can find. Taking the same events again changes nothing, and queues what a failure kept from the queue.
 *
 * @throws {UpstreamError} DATABASE_UNAVAILABLE when nothing was committed; what the queue throws when what was
 *   committed is not queued, which `queueUnqueued` makes up for.
 */
export async function ingestEvents(deps: EventDeps, events: readonly PhotoEvent[]): Promise<EventOutcome[]> {
  if (events.length === 0) return [];
  const recorded = await deps.record(events);
  const photos = new Map<string, PhotoJob>();
  for (const [index, { photoId, queue }] of recorded.entries()) {
    if (!queue || photoId === null) continue;
    const { store, bucket, key, version, known } = events[index]!;
    const told = { ...photos.get(photoId)?.known, ...known };
    photos.set(photoId, { id: photoId, store, bucket, key, version, known: told });
  }
  await queuePhotos(deps, "live", [...photos.values()]);
  return recorded;
}

/**
 * Takes the events of several requests in one transaction, which costs little more than one of them. Where they cannot be
 * taken together because of one, each is taken alone: a request fails by its own fault only.
 *
 * @returns for each request what became of its events, in order, or why it failed.
 * @throws {UpstreamError} as `ingestEvents`, for all of them.
 */
export async function ingestTogether(
  deps: EventDeps,
  requests: readonly (readonly PhotoEvent[])[],
): Promise<(EventOutcome[] | Error)[]> {
  let recorded: EventOutcome[];
  try {
    recorded = await ingestEvents(deps, requests.flat());
  } catch (thrown) {
    if (thrown instanceof UpstreamError || requests.length === 1) throw thrown;
    const alone: (EventOutcome[] | Error)[] = [];
    // one after the other, as they came: what has no order counts as it comes
    for (const events of requests) alone.push(await ingestEvents(deps, events).catch(asError));
    return alone;
  }
  let taken = 0;
  return requests.map(({ length }) => {
    taken += length;
    return recorded.slice(taken - length, taken);
  });
}

/**
 * Queues what was committed at least `olderThanS` seconds ago and never queued, because its process or the queue died
 * in between.
 *
 * @returns how many photos.
 */
export async function queueUnqueued(deps: QueueDeps, olderThanS: number): Promise<number> {
  let queued = 0;
  for (;;) {
    const photos = await deps.unqueued(olderThanS, PAGE);
    for (const [lane, ofLane] of byLane(photos)) await queuePhotos(deps, lane, ofLane);
    queued += photos.length;
    if (photos.length < PAGE) return queued;
  }
}

/** Queues what is committed, and then forgets that it had to be. */
export async function queuePhotos(
  deps: Omit<QueueDeps, "unqueued">,
  lane: Lane,
  photos: readonly PhotoJob[],
): Promise<void> {
  if (photos.length === 0) return;
  await deps.add(lane, photos);
  await deps.markQueued(photos.map(({ id }) => id));
}

const PAGE = 500;
