import type pg from "pg";
import type { PhotoMetadata, PhotoRef, Verdict } from "../src/photo.ts";
import { readBackfillCounts } from "../src/store/backfill-counts.ts";
import { registerPhotos } from "../src/store/photos.ts";
import type { Outcome } from "../src/store/verdicts.ts";
import type { Database } from "./fixtures.ts";
import { startS3, type TestS3 } from "./s3.ts";
import { failed as failedBy, judged as judgedBy } from "./verdicts.ts";

/** Of the model that the backfill `ofAll` is of, unless another is named. */
export const judged = (photoId: string, verdict: Verdict, by = "model:m-2"): ReturnType<typeof judgedBy> =>
  judgedBy(photoId, verdict, by);
export const failed = (photoId: string, transient = false): Outcome => ({
  ...failedBy(photoId, transient),
  by: "model:m-2",
});

export async function photos(db: Database, ...keys: string[]): Promise<string[]> {
  const refs = keys.map((key) => ({ store: "s3" as const, bucket: "archive", key, version: "", known: {} }));
  return (await registerPhotos(db.pool, refs, "backfill")).map(({ id }) => id);
}

/** What one call to feed a backfill hands over. */
export const page = (ids: string[], after = ids.at(-1) ?? "", end = true) => ({
  ids,
  cursor: { after },
  end,
  unreadable: 0,
});

export const counts = async (db: Database, id: string) =>
  (await readBackfillCounts(db.pool, id)).map(({ before, after, code, photos }) => [
    before,
    after,
    code,
    photos,
  ]);

/** Makes known what is new of objects of one bucket. */
export async function photosOfObjects(
  db: pg.Pool,
  objects: readonly (PhotoRef & { known: PhotoMetadata })[],
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    "select o as id from photos_of_objects($1, $2, $3, $4, $5, $6, $7) o",
    [
      objects[0]!.store,
      objects[0]!.bucket,
      objects.map(({ key }) => key),
      objects.map(({ version }) => version),
      objects.map(({ known }) => known.listing ?? null),
      objects.map(({ known }) => known.uploader ?? null),
      objects.map(({ known }) => known.claimed ?? null),
    ],
  );
  return rows.map(({ id }) => id);
}

/** A store with the empty buckets `archive`, into which `put` writes, and `thumbs`. */
export const startArchive = (): Promise<TestS3> => startS3("archive", "thumbs");
