import type { Lane, PhotoJob, PhotoMetadata, PhotoRef } from "../photo.ts";
import { type QueueDeps, queuePhotos } from "./ingest-events.ts";

interface IngestDeps extends Omit<QueueDeps, "unqueued"> {
  /**
   * Makes photos known, in the order given; what is known already stays, and what was withdrawn since `looked`. Of those
   * without a verdict it says in the same transaction that no queue holds them.
   */
  register(
    photos: readonly (PhotoRef & { known: PhotoMetadata })[],
    lane: Lane,
    looked: string | undefined,
  ): Promise<(PhotoJob & { state: string })[]>;
  /** Ids of those that may have other bytes by now under the same version. */
  doubtful?(photos: readonly PhotoJob[]): Promise<Set<string>>;
}

export interface IngestOptions {
  known?: PhotoMetadata;
  /** Also what is decided already. */
  again?: boolean;
  /** The time of Postgres before the photos were looked for, where that may be a while ago. */
  looked?: string;
}

export interface IngestResult {
  /** Of all photos, in the order given. */
  ids: string[];
  /** Of those that were queued; of the others, those that are not `unclear` are decided already. */
  queued: string[];
  /** Of those of which nothing but a sweep tells which version they are. */
  unclear: string[];
}

/**
 * Registers photos, then queues those without a verdict: pending and failed ones, those that are doubtful, and with `again` all of them.
 * The row comes first, so that a queue that is lost can be filled again from the table, and what is never queued because its
 * process or the queue died is queued by `queueUnqueued`. Calling it twice queues nothing twice.
 */
export async function ingestPhotos(
  deps: IngestDeps,
  photos: readonly PhotoRef[],
  lane: Lane,
  { known = {}, again = false, looked }: IngestOptions = {},
): Promise<IngestResult> {
  const registered = await deps.register(
    photos.map((photo) => ({ ...photo, known })),
    lane,
    looked,
  );
  const unclear = registered.filter(({ state }) => state === "withdrawn");
  const doubtful = await deps.doubtful?.(registered.filter(({ state }) => state !== "withdrawn"));
  const wanted = registered.filter(
    ({ id, state }) =>
      state === "pending" || state === "failed" || (again && state !== "withdrawn") || doubtful?.has(id),
  );
  await queuePhotos(
    deps,
    lane,
    wanted.map(({ id, store, bucket, key, version, known }) => ({ id, store, bucket, key, version, known })),
  );
  const ids = (photos: readonly PhotoJob[]): string[] => photos.map(({ id }) => id);
  return { ids: ids(registered), queued: ids(wanted), unclear: ids(unclear) };
}
