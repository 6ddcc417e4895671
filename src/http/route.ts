import type { z } from "zod";
import type { PhotoEvent } from "../intake/event.ts";
import type { Bad } from "../intake/received-messages.ts";
import type { ExternalSenders, Proof } from "./callers.ts";
import type { GaugeSource } from "./gauges.ts";
import type { photo, taken } from "./schemas.ts";
import type { Scope, StoredToken } from "./tokens.ts";

/** Keys that callers make up, each token its own, so that what they send twice is done once. */
interface IdempotencyKeys {
  /** Takes an Idempotency-Key; the request that has it, which may be another, and what that was answered. */
  takeKey(
    tokenId: string,
    key: string,
    request: Buffer,
  ): Promise<{ request: Uint8Array; answered: Kept | undefined }>;
  /** Keeps what a request was answered that took its key; the answer that stands, which one beside it may have had first. */
  keepAnswer(tokenId: string, key: string, request: Buffer, answer: Kept): Promise<Kept>;
  /** Gives the key of a request back that was refused. */
  freeKey(tokenId: string, key: string, request: Buffer): Promise<void>;
}

/** What was answered to a request with an Idempotency-Key. */
export interface Kept {
  status: number;
  answer: unknown;
}

export interface ApiDeps extends IdempotencyKeys {
  /** The token with this id, unless it was revoked. */
  findToken(id: string): Promise<StoredToken | undefined>;
  /** Commits what the events say, then queues what they make known; answers in their order. */
  take(events: readonly PhotoEvent[]): Promise<{ photoId: string | null; outcome: Outcome }[]>;
  /**
   * Puts a message aside that is not understood, unless it waits already. What was settled waits again.
   *
   * @param most of a source that may wait; "full" where they do, and it is not kept.
   */
  keepBad(source: string, message: Bad, most: number): Promise<"kept" | "waits" | "full">;
  /** How many uploads wait in the queue. */
  waiting(): Promise<number>;
  /** Undefined where no current photo has this id; fresh: none was open before. */
  openAppeal(
    photo: string,
    reason: string,
    objector: { by: string; who: string },
  ): Promise<{ at: string; fresh: boolean } | undefined>;
  readPhoto(id: string): Promise<PhotoRecord | undefined>;
  readPhotoOf(bucket: string, key: string): Promise<PhotoRecord | undefined>;
  senders: ExternalSenders;
  /** What others know and `/metrics` shows. */
  gauges: readonly GaugeSource[];
}

type Outcome = z.infer<typeof taken>["outcome"];
/** Everything that is known of one photo. */
export type PhotoRecord = Omit<z.infer<typeof photo>, "public">;

interface Asked {
  body: unknown;
  query: unknown;
  params: unknown;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body as it came. */
  text(): string;
  tokenId: string;
  /** Whether the caller proved itself otherwise than by a token of ours, or its message is to. */
  external: boolean;
}

export interface Answer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
  /** What became of events, to count; and "bad" once where it was put aside now. */
  outcomes?: readonly (Outcome | "ignored" | "bad")[];
}

/** One route: what serves it, and what the OpenAPI document says of it, from the same schemas. */
export interface Route {
  method: "GET" | "POST" | "DELETE";
  url: string;
  /** Unlike that of any other route; what generated clients call it. */
  name: string;
  summary: string;
  /** What a token of ours must be allowed. */
  scope: Scope;
  /** How a caller may prove itself, where it is not by a token as Bearer alone. */
  proofs?: readonly Proof[];
  /** Whether what it takes is queued, so that it is refused where too many uploads wait. */
  queues?: boolean;
  /** Largest body, in bytes. */
  maxBytes?: number;
  body?: z.ZodType;
  /** A body that is taken. */
  example?: unknown;
  /** Whether the body, JSON in any case, may call itself text. */
  text?: boolean;
  headers?: z.ZodObject;
  query?: z.ZodObject;
  params?: z.ZodObject;
  /** Whether a header `Idempotency-Key` makes its answer the same for a day. */
  idempotent?: boolean;
  /** Of each status that it may answer. */
  answers: Record<number, { means: string; schema: z.ZodType }>;
  handle(deps: ApiDeps, asked: Asked): Promise<Answer>;
}
