import { MOST_PUT_OFF_MS } from "../queue/queues.ts";
import { readLanes, type Steering } from "../wiring/lanes.ts";
import { pausedWords } from "./paused.ts";
import { counted } from "./plural.ts";

/** Says why none of these photos, which were queued as uploads, is done with, and until when that may be. */
export async function whyWaiting(
  steering: Steering,
  lockMs: number,
  photoIds: ReadonlySet<string>,
): Promise<string[]> {
  const { queues } = steering;
  const [lanes, inHand, putOff] = await Promise.all([
    readLanes(steering),
    queues.howMany("active", photoIds),
    queues.howMany("delayed", photoIds),
  ]);
  const live = lanes.find(({ lane }) => lane === "live")!;
  const queued = Math.max(0, photoIds.size - inHand - putOff);
  return [
    inHand > 0 &&
      `${counted(inHand, "photo")} in hand; of a worker that was killed, they are taken up here by ${inMs(lockMs * 1.5)}`,
    putOff > 0 && `${counted(putOff, "photo")} put off, and tried again by ${inMs(MOST_PUT_OFF_MS)}`,
    queued > 0 &&
      (live.paused
        ? `${counted(queued, "photo")} until maitred queue resume live, which is ${pausedWords(live)}`
        : `${counted(queued, "photo")} queued, until a worker takes them`),
  ].filter((line) => line !== false);
}

function inMs(ms: number): string {
  return `${new Date(Date.now() + ms).toISOString().slice(11, 19)} UTC`;
}
