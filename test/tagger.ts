import type { S3Client } from "@aws-sdk/client-s3";
import { createTagger } from "../src/deliver/object-tags.ts";
import { setTags } from "../src/image/tags.ts";
import { readPhotoState } from "../src/store/photos.ts";
import type { Database } from "./fixtures.ts";

/** What `maitred deliver` does with one delivery to s3-tags. */
export const taggerOf = (db: Database, s3: S3Client): ReturnType<typeof createTagger> =>
  createTagger({
    photoOf: (photo) => readPhotoState(db.pool, photo),
    setTags: (photo, tagsFor) => setTags(s3, photo, tagsFor, 10_000),
  });
