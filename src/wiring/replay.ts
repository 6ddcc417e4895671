/** Part of processes: takes once more what could not be taken, or judged. The desk and commands of the CLI use it. */
import { asError, codeOf, EventError } from "../errors.ts";
import type { Settled } from "../http/desk/operate-deps.ts";
import { ingestEvents } from "../intake/ingest-events.ts";
import { parseEach } from "../intake/message.ts";
import { byLane } from "../photo.ts";
import { readBadMessage, resolveBadMessage, retryFailed } from "../store/bad-messages.ts";
import { photosToReplay } from "../store/photos.ts";
import type { EventIntake } from "./intake.ts";

/**
 * Reads a message that was put aside again, as this version understands it, and takes its events. What fails again, or in part,
 * stays, with its new reason; one that is settled stays so.
 *
 * @returns undefined where there is no such message.
 * @throws {UpstreamError} when a server is away, which is not the message's fault.
 */
export async function replayBadMessage(
  { db, events }: Pick<EventIntake, "db" | "events">,
  id: string,
): Promise<Settled | undefined> {
  const message = await readBadMessage(db, id);
  if (!message) return undefined;
  if (message.resolution) return { state: message.resolution };
  try {
    const said = parseEach(message.body, message.sentAt ?? message.receivedAt);
    const taken = await ingestEvents(events, said.events);
    if (said.error) throw said.error;
    await resolveBadMessage(db, id, "replayed");
    return { state: "replayed", photos: taken.flatMap(({ photoId }) => photoId ?? []) };
  } catch (thrown) {
    const error = asError(thrown);
    if (!(error instanceof EventError) && codeOf(error) !== "INTERNAL") throw error;
    await retryFailed(db, id, codeOf(error), error.message);
    return { state: "failed", code: codeOf(error), detail: error.message };
  }
}

/**
 * Queues photos that failed for a code again, oldest first, a page of them after the id `after`.
 *
 * @param before is told how many they are before any of them is queued.
 * @returns how many, and where to go on; null where that was the last page.
 */
export async function replayFailed(
  { db, events }: Pick<EventIntake, "db" | "events">,
  code: string,
  after: string | undefined,
  before: (photos: number) => Promise<void>,
): Promise<{ queued: number; after: string | null }> {
  const replay = { state: "failed", code, olderThanS: 0, ...(after && { after }) } as const;
  for await (const page of photosToReplay(db, replay, PAGE)) {
    await before(page.length);
    for (const [lane, photos] of byLane(page)) if (photos.length > 0) await events.add(lane, photos);
    return { queued: page.length, after: page.length < PAGE ? null : page.at(-1)!.id };
  }
  return { queued: 0, after: null };
}

const PAGE = 1_000;
