import type { Known, Lane, PhotoJob, PhotoRef } from "../photo.ts";

/** The two neighbours of the intake: the table of photos, and the queues. */
export interface IntakeDeps {
  /** Makes photos known, in the order given; what is known already stays. */
  register(
    photos: readonly (PhotoRef & { known: Known })[],
    lane: Lane,
  ): Promise<(PhotoJob & { state: string })[]>;
  add(lane: Lane, photos: readonly PhotoJob[]): Promise<void>;
}

export interface TakenIn {
  /** Of all photos, in the order given. */
  ids: string[];
  /** Of those that were queued; the others are decided already. */
  queued: string[];
}

/**
 * Registers photos, then queues those without a verdict: pending and failed ones, and with `again` all of them.
 * The row comes first, so that a queue that is lost can be filled again from the table. Calling it twice queues
 * nothing twice.
 */
export async function takeIn(
  deps: IntakeDeps,
  photos: readonly PhotoRef[],
  lane: Lane,
  { known = {}, again = false }: { known?: Known; again?: boolean } = {},
): Promise<TakenIn> {
  const registered = await deps.register(
    photos.map((photo) => ({ ...photo, known })),
    lane,
  );
  const wanted = registered.filter(({ state }) => again || state === "pending" || state === "failed");
  await deps.add(
    lane,
    wanted.map(({ id, store, bucket, key, version, known }) => ({ id, store, bucket, key, version, known })),
  );
  return { ids: registered.map(({ id }) => id), queued: wanted.map(({ id }) => id) };
}
