import type { ErrorCode } from "../errors.ts";
import type { Decision, PhotoMetadata, PhotoRef, Scores } from "../photo.ts";

export interface Judged {
  by: string;
  scores: Scores;
  decision: Decision;
}

/** What became of one photo: a verdict by a model, or a failure with its code. */
export interface LineOutcome {
  photoId: string;
  /** The object that was judged as this photo: a Postgres that has lost its last commits gives their ids to others. */
  object?: Pick<PhotoRef, "bucket" | "key">;
  /** How many tries it took; none of a photo that never came as far as the line. */
  tries?: number;
  /** The time of Postgres before it was fetched, where its version does not say which bytes it has, or it was `fed`. */
  looked?: string;
  /**
   * It was queued for backfills: where only proposing ones wait for the photo, this is a proposal; where none does any more,
   * it was recorded before.
   */
  fed?: true;
  /** The model that judged it, or was to: `model:NAME`. */
  by: string;
  /** Identifies the policy file's contents. */
  policy: string;
  known: PhotoMetadata;
  /** Names the batch in logs and history; "" where none was formed. */
  batch: string;
  result:
    | {
        decision: Decision;
        scores: Scores;
        /** SHA-256 of the bytes that the model ran for, hex. */
        digest?: string;
        /** The same, where the scores are those of another photo. */
        copyOf?: string;
        /** The bytes were those of a rendition. */
        rendition?: boolean;
      }
    | {
        failure: ErrorCode;
        message: string;
        transient: boolean;
        /** SHA-256 of the bytes that were refused, hex. */
        digest?: string;
      };
}

/** What was committed of an outcome. */
export interface Recorded {
  changed: boolean;
  /** Why the photo waits for a moderator now, in place of being shown. */
  held?: string;
}

/** What was decided, but for who has to see it first. */
export function heldFor(outcome: LineOutcome, reason: string): LineOutcome {
  if ("failure" in outcome.result) return outcome;
  const decision = { ...outcome.result.decision, verdict: "review", rule: "hidden-copy", reason } as const;
  return { ...outcome, result: { ...outcome.result, decision } };
}
