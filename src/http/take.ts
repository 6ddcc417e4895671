import { createHash } from "node:crypto";
import { z } from "zod";
import { EventError } from "../errors.ts";
import type { Parsed } from "../intake/event.ts";
import { eventBridgeHallmark, parseEventBridge } from "../intake/eventbridge.ts";
import { gcsHallmark, parseGcs } from "../intake/gcs.ts";
import { type Opened, parseNotification, parseParts } from "../intake/message.ts";
import { parseS3, s3Hallmark } from "../intake/s3.ts";
import { HttpProblem } from "./problem.ts";
import type { Answer, ApiDeps } from "./route.ts";
import type { noticed, takenAll } from "./schemas.ts";

export interface Source {
  /** As metrics and `maitred events` have it. */
  name: string;
  parse: Opened["parse"];
  /** What even one that is not understood must have. */
  hallmark: z.ZodType;
}

export const sources = {
  s3: { name: "s3", parse: parseS3, hallmark: s3Hallmark },
  eventBridge: { name: "eventbridge", parse: parseEventBridge, hallmark: eventBridgeHallmark },
  gcs: { name: "gcs", parse: parseGcs, hallmark: gcsHallmark },
  sns: { name: "sns", parse: parseNotification, hallmark: z.union([s3Hallmark, eventBridgeHallmark]) },
} satisfies Record<string, Source>;

interface Notice {
  said: unknown;
  /** The body as it came, which is what is kept. */
  text(): string;
  /** As its sender names it, who has proved itself; without one its text tells it from others. */
  id?: string | undefined;
}

/** Acts on all that a request says, and answers for each of its events. */
export async function takeAll(
  deps: ApiDeps,
  { events, ignored }: Parsed,
): Promise<Answer & { body: z.infer<typeof takenAll> }> {
  const outcomes = events.length > 0 ? await deps.take(events) : [];
  const photos = outcomes.map(({ photoId, outcome }, index) => {
    const { bucket, key } = events[index]!;
    return { id: photoId, bucket, key, outcome };
  });
  const changed = photos.some(({ outcome }) => outcome === "accepted" || outcome === "removed");
  const counted = [...outcomes.map(({ outcome }) => outcome), ...Array<"ignored">(ignored).fill("ignored")];
  return { status: changed ? 202 : 200, body: { photos, ignored }, outcomes: counted };
}

/**
 * Acts on what is understood of a notification, and puts it aside for the rest: a store that is refused sends the same again, and may send
 * nothing else before it is taken. It is kept before anything is acted on, so that what fails in between is lost in no case.
 *
 * The caller has proved by now who sent it.
 *
 * @throws {EventError} EVENT_INVALID, and nothing is taken or kept, where it is none of this source, which whoever set it up must mend.
 * @throws {HttpProblem} 429, and nothing is taken or kept, where too many that are not understood wait already.
 */
export async function takeNotification(
  deps: ApiDeps,
  { name, parse, hallmark }: Source,
  { said, text, id }: Notice,
): Promise<Answer> {
  const { error, ...parsed } = parseParts({ said, parse }, "now");
  if (!error) return takeAll(deps, parsed);
  const known = parsed.events.length + parsed.ignored > 0 || hallmark.safeParse(said).success;
  if (!(error instanceof EventError) || !known) throw error;
  const { code, message: detail } = error;
  const body = text();
  const messageId = id ?? createHash("sha256").update(body).digest("hex");
  const kept = await deps.keepBad(
    `http:${name}`,
    { messageId, sentAt: null, body, code, detail },
    MOST_WAITING,
  );
  if (kept === "full") {
    const why = `${detail}; it is not put aside, as ${MOST_WAITING} messages of http:${name} wait already: see maitred events`;
    throw new HttpProblem(429, why, { "retry-after": FULL_S }, "put_aside_full", code);
  }
  const { body: taken, outcomes = [] } = await takeAll(deps, parsed);
  const answer: z.infer<typeof noticed> = { ...taken, putAside: { code, detail } };
  return { status: 202, body: answer, outcomes: kept === "kept" ? [...outcomes, "bad"] : outcomes };
}

/** A store of which no message is understood is told so by then, and keeps the others itself, for as long as it does. */
const MOST_WAITING = 1_000;
const FULL_S = "300";
