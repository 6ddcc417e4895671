/** One change that one destination is to be told of, claimed for one attempt. */
export interface Claim {
  seq: string;
  destination: string;
  kind: "webhook" | "s3-tags";
  /** Of a webhook. */
  url: string | null;
  /** What a webhook is signed with, the newest first. */
  secrets: readonly string[];
  photoId: string;
  change: Change;
  payload: Payload;
  createdAt: Date;
  /** Counted from 1. */
  attempt: number;
}

type Change = "photo.verdict" | "photo.failed" | "photo.withdrawn" | "photo.forgotten";

/** The photo as it was; of a change that is not `photo.forgotten` much more, which is sent as it is. */
interface Payload {
  id: string;
  sequence: number;
  store: string;
  bucket: string;
  key: string;
  version: string;
}

/** What became of one attempt. */
export type Attempt =
  | { outcome: "delivered"; note?: string }
  /** final: it fails so until somebody mends what `why` says. */
  | { outcome: "failed"; why: string; retryAfterMs?: number | undefined; final?: boolean }
  /** The destination wants nothing more, ever. */
  | { outcome: "refused"; why: string };

/** The same in every attempt, so that a receiver can tell that it has it already. */
export function messageId({ destination, seq }: Pick<Claim, "destination" | "seq">): string {
  return `msg_${destination}_${seq}`;
}

/** The body of a webhook. Of a photo that is forgotten it says nothing but what names it. */
export function bodyOf({ change, payload, createdAt }: Claim): string {
  const { id, sequence, bucket, key } = payload;
  const data = change === "photo.forgotten" ? { id, sequence, bucket, key } : payload;
  return JSON.stringify({ type: change, timestamp: createdAt.toISOString(), data });
}
