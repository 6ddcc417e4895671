import { setTimeout as sleep } from "node:timers/promises";
import { cachedFor } from "../asking.ts";
import { asError, ModerationError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { EventOutcome } from "../photo.ts";
import type { PhotoEvent } from "./event.ts";
import { type Bad, type Message, type Read, ReceivedMessages, Refused } from "./received-messages.ts";

/** A queue that hides a message from others for a while, and delivers it again unless it is removed. */
export interface MessageQueue {
  source: string;
  /** Waits for messages for a while. @throws when it cannot be asked, or was stopped. */
  receive(stop: AbortSignal): Promise<Message[]>;
  /** Hides messages for as long again, from now on. */
  hide(messages: readonly Message[]): Promise<void>;
  remove(messages: readonly Message[]): Promise<void>;
}

export interface ListenDeps {
  /** As ingestEvents does. */
  take(events: readonly PhotoEvent[]): Promise<EventOutcome[]>;
  keepBad(source: string, messages: readonly Bad[]): Promise<void>;
  /** How many uploads wait in the queue of photos. @throws {UpstreamError} while it is away. */
  waiting(): Promise<number>;
  /** @throws {UpstreamError} while Postgres is away. */
  askDatabase(): Promise<unknown>;
}

interface ListenSettings {
  /** How many receives are in flight at once. */
  receives: number;
  /** Seconds for which the queue hides what it delivered. */
  visibilityS: number;
  /** Uploads that may wait before nothing more is received; 0: any number. */
  queueLimit: number;
}

export interface ListenEvents {
  /** Messages were committed, and removed from the queue. */
  took(messages: number, outcomes: readonly EventOutcome[]): void;
  /** A message was put aside. */
  bad(message: Bad): void;
  /** Something failed; what was in hand comes back. */
  unwell(error: Error): void;
}

export interface Listener extends Closable {
  /** Whether the queue, Postgres and the queue of photos answered when they were last asked. */
  well(): boolean;
}

/**
 * Takes in what a queue brings, each receive in one transaction. A message is removed once what it says is committed: a
 * photo that is committed and that no queue could hold is queued later by whoever looks for such. What cannot be
 * understood is put aside, and then removed; of a message that is understood in part, that part is taken before. While
 * Postgres is away, or lets nobody write, what is in hand is kept hidden and nothing more is received, so that an outage
 * costs a message one delivery, however long it lasts. What fails for a reason that is not understood comes back, until the
 * queue's own redrive takes it, or it is put aside after `MAX_RECEIVES` deliveries. `close` receives nothing more, and ends
 * what is in hand.
 */
export function listenTo(
  queue: MessageQueue,
  deps: ListenDeps,
  settings: ListenSettings,
  events: ListenEvents,
): Listener {
  const stop = new AbortController();
  /** Those of the loops that met an outage when they last asked. */
  const failing = new Set<object>();
  const waiting = cachedFor(deps.waiting, 1_000);
  const rest = (ms: number): Promise<void> =>
    sleep(ms * (0.5 + Math.random()), undefined, { signal: stop.signal }).catch(() => {});

  async function poll(): Promise<void> {
    const loop = {};
    let failures = 0;
    while (!stop.signal.aborted) {
      try {
        const full = settings.queueLimit > 0 && (await waiting()) >= settings.queueLimit;
        if (full) await rest(FULL_MS);
        else await takeIn(await queue.receive(stop.signal), loop);
        failures = 0;
        failing.delete(loop);
      } catch (thrown) {
        if (stop.signal.aborted && asError(thrown).name === "AbortError") return;
        if (!(thrown instanceof Refused)) failing.add(loop);
        events.unwell(asError(thrown));
        await rest(backoffMs(failures++));
      }
    }
  }

  /** @throws what kept something from being taken, after all that could be done is done. */
  async function takeIn(messages: readonly Message[], loop: object): Promise<void> {
    if (messages.length === 0) return;
    const received = new ReceivedMessages(messages);
    const renew = setInterval(
      () => void queue.hide(messages).catch((error: unknown) => events.unwell(asError(error))),
      (settings.visibilityS * 1_000) / 3,
    );
    try {
      for (let tries = 0, outages = 0; ; outages++) {
        received.failure = undefined;
        await takeTogether([...received.understood], received);
        if (received.bad.size > 0) await putAside(received);
        if (!received.failure || received.understood.size + received.bad.size === 0) break;
        failing.add(loop);
        // a message that fails so while Postgres answers must not hold up the others for ever
        if (!isRefusedToAll(received.failure) && ++tries === MAX_TRIES) break;
        if (!(await answersAgain(received.failure, outages))) break;
      }
    } finally {
      clearInterval(renew);
    }
    if (received.taken > 0) events.took(received.taken, received.outcomes);
    if (received.settled.length > 0) await queue.remove(received.settled);
    if (received.failure) throw received.failure;
    const [refused] = received.refused;
    // where some were taken the others are at fault, and need not slow down what follows them
    if (refused && received.settled.length === 0) throw refused;
    for (const error of received.refused) events.unwell(error);
  }

  /** In one transaction; where that is refused, each message in one of its own. */
  async function takeTogether(read: readonly Read[], received: ReceivedMessages): Promise<void> {
    if (read.length === 0) return;
    try {
      received.take(read, await deps.take(read.flatMap(({ said }) => said)));
    } catch (thrown) {
      if (isNeighbourAway(thrown)) {
        received.failure = thrown;
        // what was to be queued is committed by then
        if (thrown.code === "QUEUE_UNAVAILABLE") received.take(read, []);
      } else if (read.length === 1) {
        received.refuse(read[0]!, asError(thrown));
      } else {
        for (const one of read) if (!received.failure) await takeTogether([one], received);
      }
    }
  }

  async function putAside(received: ReceivedMessages): Promise<void> {
    const bad = received.described();
    try {
      await deps.keepBad(queue.source, bad);
    } catch (thrown) {
      received.failure = asError(thrown);
      return;
    }
    for (const each of bad) events.bad(each);
    received.settled.push(...received.bad.keys());
    received.bad.clear();
  }

  /** Waits until Postgres answers, longer the more `tries` there were. @returns false where it is time to stop first. */
  async function answersAgain(failure: Error, tries: number): Promise<boolean> {
    for (; ; tries++) {
      events.unwell(failure);
      await rest(backoffMs(tries));
      if (stop.signal.aborted) return false;
      try {
        await deps.askDatabase();
        return true;
      } catch (thrown) {
        failure = asError(thrown);
      }
    }
  }

  const loops = Array.from({ length: settings.receives }, () => poll());
  return {
    well: () => failing.size === 0,
    async close() {
      stop.abort();
      await Promise.all(loops);
    },
  };
}

/** What takes Postgres too long may be the one message's own fault. */
function isNeighbourAway(thrown: unknown): thrown is ModerationError {
  return thrown instanceof ModerationError && thrown.retry && thrown.code !== "DATABASE_TIMEOUT";
}

/** No message is why Postgres takes nothing of anybody; it may be why Postgres crashes, or runs out of memory. */
function isRefusedToAll(failure: Error): boolean {
  return WRITES_REFUSED.has(String((failure.cause as { code?: unknown } | undefined)?.code));
}

function backoffMs(failures: number): number {
  return Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** failures);
}

/** How often in one delivery, with Postgres answering in between. */
const MAX_TRIES = 3;
const FULL_MS = 2_000;
const MAX_BACKOFF_MS = 30_000;
/** SQLSTATEs: it is read-only, its disk is full, or its role lacks a right. */
const WRITES_REFUSED = new Set(["25006", "53100", "42501"]);
