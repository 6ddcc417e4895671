import { setTimeout as sleep } from "node:timers/promises";
import { asError, codeOf, EventError, ModerationError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { recently } from "../recently.ts";
import type { PhotoEvent } from "./event.ts";
import { parseMessage } from "./message.ts";
import type { Recorded } from "./take-events.ts";

export interface Message {
  /** The queue's own, the same in every delivery. */
  id: string;
  /** What this delivery is named by. */
  receipt: string;
  body: string;
  /** How often it was delivered, this time among them. */
  receives: number;
}

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
  /** As takeEvents does. */
  take(events: readonly PhotoEvent[]): Promise<Recorded[]>;
  keepBad(source: string, messages: readonly Bad[]): Promise<void>;
  /** How many uploads wait in the queue of photos. @throws {UpstreamError} while it is away. */
  waiting(): Promise<number>;
  /** @throws {UpstreamError} while Postgres is away. */
  askDatabase(): Promise<unknown>;
}

/** A message that cannot be taken, with why. */
export interface Bad {
  messageId: string;
  body: string;
  code: string;
  detail: string;
}

export interface ListenSettings {
  /** How many receives are in flight at once. */
  receives: number;
  /** Seconds for which the queue hides what it delivered. */
  visibilityS: number;
  /** Uploads that may wait before nothing more is received; 0: any number. */
  queueLimit: number;
}

export interface ListenEvents {
  /** Messages were committed, and removed from the queue. */
  took(messages: number, outcomes: readonly Recorded[]): void;
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
 * understood is put aside, and then removed. What fails for another reason comes back: a message that fails alone up to
 * `MAX_RECEIVES` times, unless the queue's own redrive takes it before; and while a server is away nothing is received,
 * so that an outage costs a message one delivery. `close` receives nothing more, and ends what is in hand.
 */
export function listenTo(
  queue: MessageQueue,
  deps: ListenDeps,
  settings: ListenSettings,
  events: ListenEvents,
): Listener {
  const stop = new AbortController();
  const failing = new Set<number>();
  const waiting = recently(deps.waiting, 1_000);
  const rest = (ms: number): Promise<void> =>
    sleep(ms * (0.5 + Math.random()), undefined, { signal: stop.signal }).catch(() => {});

  async function poll(loop: number): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      try {
        if (failures > 0) await deps.askDatabase();
        const full = settings.queueLimit > 0 && (await waiting()) >= settings.queueLimit;
        if (full) await rest(FULL_MS);
        else await takeIn(await queue.receive(stop.signal));
        failures = 0;
        failing.delete(loop);
      } catch (thrown) {
        if (stop.signal.aborted && asError(thrown).name === "AbortError") return;
        failures++;
        if (!(thrown instanceof Refused)) failing.add(loop);
        events.unwell(asError(thrown));
        await rest(Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** (failures - 1)));
      }
    }
  }

  /** @throws what failed for a reason other than the messages, after all that could be done is done. */
  async function takeIn(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    const hand = new Hand();
    const renew = setInterval(
      () => void queue.hide(messages).catch((error: unknown) => events.unwell(asError(error))),
      (settings.visibilityS * 1_000) / 3,
    );
    let aside: Message[];
    try {
      await takeTogether(
        messages.flatMap((message) => hand.read(message)),
        hand,
      );
      aside = await putAside(hand);
    } finally {
      clearInterval(renew);
    }
    if (hand.taken.length > 0) events.took(hand.taken.length, hand.outcomes);
    const settled = [...hand.taken, ...aside];
    if (settled.length > 0) await queue.remove(settled);
    if (hand.failure) throw hand.failure;
    const [refused] = hand.refused;
    // where some were taken the others are at fault, and need not slow down what follows them
    if (refused && settled.length === 0) throw refused;
    for (const error of hand.refused) events.unwell(error);
  }

  /** In one transaction; where that is refused, each message in one of its own. */
  async function takeTogether(read: readonly Read[], hand: Hand): Promise<void> {
    const messages = read.map(({ message }) => message);
    try {
      hand.outcomes.push(...(await deps.take(read.flatMap(({ said }) => said))));
      hand.taken.push(...messages);
    } catch (thrown) {
      if (isOutage(thrown)) {
        hand.failure = thrown;
        // what was to be queued is committed by then
        if (thrown.code === "QUEUE_UNAVAILABLE") hand.taken.push(...messages);
      } else if (read.length === 1) {
        hand.refuse(messages[0]!, asError(thrown));
      } else {
        for (const one of read) if (!isOutage(hand.failure)) await takeTogether([one], hand);
      }
    }
  }

  /** @returns the messages that are kept now. */
  async function putAside(hand: Hand): Promise<Message[]> {
    const bad = hand.bad.map(({ message, error }) => ({
      messageId: message.id,
      body: message.body,
      code: codeOf(error),
      detail: error.message,
    }));
    if (bad.length === 0) return [];
    try {
      await deps.keepBad(queue.source, bad);
    } catch (thrown) {
      hand.failure = asError(thrown);
      return [];
    }
    for (const each of bad) events.bad(each);
    return hand.bad.map(({ message }) => message);
  }

  const loops = Array.from({ length: settings.receives }, (_, loop) => poll(loop));
  return {
    well: () => failing.size === 0,
    async close() {
      stop.abort();
      await Promise.all(loops);
    },
  };
}

interface Read {
  message: Message;
  said: PhotoEvent[];
}

/** What one receive brought, and what became of it; what is neither taken nor bad comes back. */
class Hand {
  readonly taken: Message[] = [];
  readonly outcomes: Recorded[] = [];
  readonly bad: { message: Message; error: Error }[] = [];
  readonly refused: Refused[] = [];
  /** What kept the rest from being taken. */
  failure: Error | undefined;

  /** What the message says; nothing where it is a bad one. */
  read(message: Message): Read[] {
    try {
      return [{ message, said: parseMessage(message.body, new Date()).events }];
    } catch (thrown) {
      this.refuse(message, asError(thrown));
      return [];
    }
  }

  refuse(message: Message, error: Error): void {
    if (error instanceof EventError || message.receives >= MAX_RECEIVES) this.bad.push({ message, error });
    else this.refused.push(new Refused(`message ${message.id}: ${error.message}`, { cause: error }));
  }
}

/** A message failed for no reason that is understood, and all else is well. */
class Refused extends Error {}

function isOutage(thrown: unknown): thrown is ModerationError {
  return thrown instanceof ModerationError && thrown.retry;
}

/** How often a message is tried that fails for no reason that is understood. */
const MAX_RECEIVES = 5;
const FULL_MS = 2_000;
const MAX_BACKOFF_MS = 30_000;
