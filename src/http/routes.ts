import { z } from "zod";
import { eventBridgeMessage } from "../intake/eventbridge.ts";
import { gcsMessage, pushedAs } from "../intake/gcs.ts";
import { readJson } from "../intake/message.ts";
import { newPhotos, parsePhotoList, parseRemoval, removedPhoto } from "../intake/photo-list.ts";
import { s3Message } from "../intake/s3.ts";
import { readShape } from "../intake/shape.ts";
import { snsMessage } from "../intake/sns.ts";
import { isRawDelivery } from "./callers.ts";
import * as examples from "./examples.ts";
import { once } from "./once.ts";
import { HttpProblem, problem } from "./problem.ts";
import type { Answer, PhotoRecord, Route } from "./route.ts";
import {
  appeal,
  newAppeal,
  noticed,
  photo,
  photoParams,
  photoQuery,
  snsHeaders,
  taken,
  takenAll,
} from "./schemas.ts";
import { type Source, sources, takeAll, takeNotification } from "./take.ts";

/** As SNS wraps it, or bare where it delivers raw. */
const snsBody = z.union([snsMessage, s3Message, eventBridgeMessage]);

export const routes: readonly Route[] = [
  {
    method: "POST",
    url: "/v1/photos",
    name: "tellOfPhotos",
    summary: "Tell of one photo, or of up to 1,000",
    scope: "ingest",
    queues: true,
    maxBytes: 4_000_000,
    body: newPhotos,
    example: examples.photo,
    idempotent: true,
    answers: {
      200: {
        means: "Nothing of it is to be judged; what it says of photos is kept",
        schema: taken.or(takenAll),
      },
      202: { means: "Committed; a worker will judge it", schema: taken.or(takenAll) },
      400: { means: "The body is not as it should be", schema: problem },
      422: { means: "The Idempotency-Key came with another body before", schema: problem },
    },
    handle: once(async (deps, { body }) => {
      const answer = await takeAll(deps, parsePhotoList(body, "now"));
      return Array.isArray(body) ? answer : { ...answer, body: answer.body.photos[0] };
    }),
  },
  {
    method: "DELETE",
    url: "/v1/photos",
    name: "removePhoto",
    summary: "Tell that an object was deleted from its bucket, where no event of the bucket does",
    scope: "ingest",
    query: removedPhoto,
    answers: {
      200: { means: "Nothing changed: it was withdrawn already, or is known from later", schema: taken },
      202: { means: "Committed; its photo, if there was one, is not shown any more", schema: taken },
      400: { means: "The request is not as it should be", schema: problem },
    },
    async handle(deps, { query }) {
      const answer = await takeAll(deps, parseRemoval(query, "now"));
      return { ...answer, body: answer.body.photos[0] };
    },
  },
  intake("/v1/events/s3", "Notifications of S3, and webhooks of MinIO", sources.s3, s3Message, examples.s3),
  intake(
    "/v1/events/eventbridge",
    "Events of S3 from EventBridge",
    sources.eventBridge,
    eventBridgeMessage,
    examples.eventBridge,
  ),
  {
    ...intake(
      "/v1/events/gcs",
      "Notifications of Cloud Storage, pushed by Pub/Sub",
      sources.gcs,
      gcsMessage,
      examples.gcs,
    ),
    proofs: ["token", "oidc"],
    handle: (deps, { body, text, external }) =>
      takeNotification(deps, sources.gcs, { said: body, text, id: external ? pushedAs(body) : undefined }),
  },
  {
    ...intake(
      "/v1/events/sns",
      "Notifications of S3, and events of EventBridge, from SNS",
      sources.sns,
      snsBody,
    ),
    proofs: ["signature", "password", "token"],
    text: true,
    headers: snsHeaders,
    async handle(deps, { body, text, headers }) {
      if (isRawDelivery(headers)) {
        deps.senders.checkTopic(headers["x-amz-sns-topic-arn"]);
        return takeNotification(deps, sources.sns, { said: body, text });
      }
      const published = await deps.senders.openSns(body);
      if (!published) return takeAll(deps, { events: [], ignored: 1 });
      const said = readJson(published.text, "Message");
      return takeNotification(deps, sources.sns, { said, text, id: published.id });
    },
  },
  {
    method: "GET",
    url: "/v1/photos",
    name: "findPhoto",
    summary: "What became of the photo of an object; the view public_photos has lists",
    scope: "read",
    query: photoQuery,
    answers: photoAnswers(),
    async handle(deps, { query }) {
      const lists = "of one photo (the view public_photos has lists): ";
      const { bucket, key } = readShape(photoQuery, query, "expected bucket and key", lists);
      return found(await deps.readPhotoOf(bucket, key), `no photo of ${bucket}/${key} is known`);
    },
  },
  {
    method: "GET",
    url: "/v1/photos/:id",
    name: "readPhoto",
    summary: "What became of a photo",
    scope: "read",
    params: photoParams,
    answers: photoAnswers(),
    async handle(deps, { params }) {
      const { id } = readShape(photoParams, params, "expected an id");
      return found(await deps.readPhoto(id), `there is no photo ${id}`);
    },
  },
  {
    method: "POST",
    url: "/v1/photos/:id/appeal",
    name: "appealPhoto",
    summary: "Have a person look at the verdict of a photo, which keeps it meanwhile",
    scope: "ingest",
    maxBytes: 10_000,
    params: photoParams,
    body: newAppeal,
    answers: {
      200: { means: "An appeal was open already, and stays as it is", schema: appeal },
      201: { means: "Moderators are asked", schema: appeal },
      400: { means: "The request is not as it should be", schema: problem },
      404: {
        means: "There is no such photo, or it was replaced or removed: the code is PHOTO_UNKNOWN",
        schema: problem,
      },
    },
    async handle(deps, { params, body, tokenId }) {
      const { id } = readShape(photoParams, params, "expected an id");
      const who = `token:${tokenId}`;
      const { reason, by = who } = readShape(newAppeal, body, "expected a reason");
      const opened = await deps.openAppeal(id, reason, { by, who });
      if (!opened) {
        throw new HttpProblem(404, `there is no current photo ${id}`, {}, "unknown", "PHOTO_UNKNOWN");
      }
      return { status: opened.fresh ? 201 : 200, body: { id, at: opened.at } };
    },
  },
];

function intake(url: string, summary: string, source: Source, body: z.ZodType, example?: unknown): Route {
  return {
    method: "POST",
    url,
    name: `take_${source.name}`,
    summary,
    scope: "ingest",
    queues: true,
    // S3 sends at most 64 KB, and a message of any source about one object is far smaller
    maxBytes: 1_000_000,
    body,
    example,
    answers: {
      200: { means: "Nothing in it was new", schema: takenAll },
      202: { means: "Committed; or kept, where putAside says why not all of it was", schema: noticed },
      400: { means: "This is no message of this source; nothing of it was taken", schema: problem },
    },
    handle: (deps, { body, text }) => takeNotification(deps, source, { said: body, text }),
  };
}

function found(record: PhotoRecord | undefined, otherwise: string): Answer {
  if (!record) throw new HttpProblem(404, otherwise, {}, "unknown", "PHOTO_UNKNOWN");
  return { status: 200, body: { ...record, public: record.current && record.state === "shown" } };
}

function photoAnswers(): Route["answers"] {
  return {
    200: { means: "The photo", schema: photo },
    400: { means: "The request is not as it should be", schema: problem },
    404: { means: "No such photo is known: the code is PHOTO_UNKNOWN", schema: problem },
  };
}
