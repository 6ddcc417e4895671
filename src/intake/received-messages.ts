import { codeOf } from "../errors.ts";
import type { EventOutcome } from "../photo.ts";
import type { PhotoEvent } from "./event.ts";
import { parseEach } from "./message.ts";

export interface Message {
  /** The queue's own, the same in every delivery. */
  id: string;
  /** What this delivery is named by. */
  receipt: string;
  body: string;
  /** How often it was delivered, this time among them. */
  receives: number;
  sentAt: Date;
}

/** A message that cannot be taken, with why. */
export interface Bad {
  /** As its source names it. */
  messageId: string;
  /** null where its source does not say. */
  sentAt: Date | null;
  body: string;
  code: string;
  detail: string;
}

/** A message that was understood, and what it says. */
export interface Read {
  message: Message;
  said: PhotoEvent[];
  /** Why it is put aside once that is taken: it says something else besides. */
  wrong?: Error;
}

/** What one receive brought, and what became of it. */
export class ReceivedMessages {
  /** Not taken yet. */
  readonly understood = new Set<Read>();
  /** To be put aside. */
  readonly bad = new Map<Message, Error>();
  /** To be removed from the queue. */
  readonly settled: Message[] = [];
  /** Those that come back. */
  readonly refused: Refused[] = [];
  taken = 0;
  readonly outcomes: EventOutcome[] = [];
  /** What kept the rest from being taken, at the last try. */
  failure: Error | undefined;

  constructor(messages: readonly Message[]) {
    for (const message of messages) {
      const { events, error } = parseEach(message.body, message.sentAt);
      if (error && events.length === 0) this.bad.set(message, error);
      else this.understood.add({ message, said: events, ...(error && { wrong: error }) });
    }
  }

  take(read: readonly Read[], outcomes: readonly EventOutcome[]): void {
    this.taken += read.length;
    this.outcomes.push(...outcomes);
    for (const each of read) {
      this.understood.delete(each);
      if (each.wrong) this.bad.set(each.message, each.wrong);
      else this.settled.push(each.message);
    }
  }

  refuse(read: Read, error: Error): void {
    const { message } = read;
    this.understood.delete(read);
    if (message.receives >= MAX_RECEIVES) this.bad.set(message, error);
    else this.refused.push(new Refused(`message ${message.id}: ${error.message}`, { cause: error }));
  }

  /** What is to be put aside, with why. */
  described(): Bad[] {
    return [...this.bad].map(([{ id, sentAt, body }, error]) => ({
      messageId: id,
      sentAt,
      body,
      code: codeOf(error),
      detail: error.message,
    }));
  }
}

/** A message failed for no reason that is understood, and all else is well. */
export class Refused extends Error {}

/** How often a message is tried that fails for no reason that is understood. */
const MAX_RECEIVES = 5;
