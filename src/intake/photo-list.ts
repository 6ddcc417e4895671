import { z } from "zod";
import { UPLOADERS } from "../photo.ts";
import { versionOf } from "../version.ts";
import type { Parsed, PhotoEvent, Received } from "./event.ts";
import { bucketName, MAX_KEY_BYTES, readShape, text, versionText } from "./shape.ts";

/** A photo as a platform tells of it. A name that is not known is a mistake, and is said to be one. */
export const newPhoto = z.strictObject({
  bucket: bucketName,
  key: text(MAX_KEY_BYTES).describe("as the store knows it, not encoded"),
  version: versionText.describe("version id, where the bucket keeps versions"),
  etag: versionText.describe(
    "without a version id, what tells this photo from a later one under the same key",
  ),
  listing: text(200).optional().describe("the restaurant it belongs to; the last that is told counts"),
  uploader: z.enum(UPLOADERS).optional().describe("the last that is told counts"),
  claimed: text(200)
    .optional()
    .describe("the category that its uploader marked; the first that is told stays"),
});
/** What `POST /v1/photos` takes, and a queue too. */
export const newPhotos = z.union([newPhoto, z.array(newPhoto).min(1).max(1_000)]);
/** What `DELETE /v1/photos` takes. */
export const removedPhoto = newPhoto.pick({ bucket: true, key: true });

/**
 * Reads one photo, or a list of them. They have no order, and count as they come.
 *
 * @throws {EventError} EVENT_INVALID, saying where in the message and what was expected.
 */
export function parsePhotoList(body: unknown, receivedAt: Received): Parsed {
  const told = readShape(newPhotos, body, "expected a photo, or a list of 1 to 1000 photos");
  const events = (Array.isArray(told) ? told : [told]).map((photo) => asEvent(photo, receivedAt));
  return { events, ignored: 0 };
}

/**
 * Reads which object was deleted, which takes every version of it off the page.
 *
 * @throws {EventError} EVENT_INVALID.
 */
export function parseRemoval(query: unknown, receivedAt: Received): Parsed {
  const { bucket, key } = readShape(removedPhoto, query, "expected bucket and key");
  const object = { store: "s3", bucket, key, version: "" } as const;
  return { events: [{ kind: "removed", ...object, order: null, receivedAt, known: {} }], ignored: 0 };
}

function asEvent(photo: z.infer<typeof newPhoto>, receivedAt: Received): PhotoEvent {
  const { bucket, key, version, etag, listing, uploader, claimed } = photo;
  return {
    kind: "created",
    store: "s3",
    bucket,
    key,
    version: versionOf(version, etag),
    order: null,
    receivedAt,
    known: { ...(listing && { listing }), ...(uploader && { uploader }), ...(claimed && { claimed }) },
  };
}
