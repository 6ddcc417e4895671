import { createHash } from "node:crypto";
import { z } from "zod";
import { EventError } from "../errors.ts";
import type { Parsed } from "../intake/event.ts";
import { eventBridgeHallmark, parseEventBridge } from "../intake/eventbridge.ts";
import { gcsHallmark, parseGcs } from "../intake/gcs.ts";
import { type Opened, parseNotification, parseParts } from "../intake/message.ts";
import { parseS3, s3Hallmark } from "../intake/s3.ts";
import { textOf } from "./bodies.ts";
import type { Answer, ApiDeps } from "./route.ts";
import type { noticed, takenAll } from "./schemas.ts";

/** Whose notifications a route takes. */
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

/** Acts on all that a request says, and answers for each of its events. */
export async function takeAll(
  deps: ApiDeps,
  { events, ignored }: Parsed,
): Promise<Answer & { body: z.infer<typeof takenAll> }> {
  const outcomes = await deps.take(events);
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
 * @param body of the request, as it is kept; the caller has proved by now who sent it.
 * @param said what of the body is the notification.
 * @throws {EventError} EVENT_INVALID, and nothing is taken or kept, where it is none of this source, which whoever set it up must mend; or
 *   where too many that are not understood wait already.
 */
export async function takeNotification(
  deps: ApiDeps,
  { name, parse, hallmark }: Source,
  body: unknown,
  said = body,
): Promise<Answer> {
  const { error, ...parsed } = parseParts({ said, parse }, "now");
  if (!error) return takeAll(deps, parsed);
  const known = parsed.events.length + parsed.ignored > 0 || hallmark.safeParse(said).success;
  if (!(error instanceof EventError) || !known) throw error;
  const { code, message: detail } = error;
  const text = textOf(body);
  // what comes again as it was is kept once
  const messageId = createHash("sha256").update(text).digest("hex");
  if (!(await deps.keepBad(`http:${name}`, { messageId, sentAt: null, body: text, code, detail })))
    throw error;
  const { body: taken, outcomes = [] } = await takeAll(deps, parsed);
  const answer: z.infer<typeof noticed> = { ...taken, putAside: { code, detail } };
  return { status: 202, body: answer, outcomes: [...outcomes, "bad"] };
}
