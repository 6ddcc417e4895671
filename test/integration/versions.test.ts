/** What deletions in a bucket that keeps versions do to photos that a plain listing made known, by their etag. */
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { codeOf } from "../../src/errors.ts";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";
import { listObjects } from "../../src/image/s3-bucket.ts";
import { parseS3 } from "../../src/intake/s3.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { s3Record } from "../events.ts";
import { type Database, test } from "../fixtures.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { judge } from "../verdicts.ts";

const Bucket = "photos";
let server: Awaited<ReturnType<typeof startMoto>>;
let s3: S3Client;

async function versioning(Status: "Enabled" | "Suspended"): Promise<void> {
  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
}
const put = async (Key: string, Body: string): Promise<string> =>
  (await s3.send(new PutObjectCommand({ Bucket, Key, Body }))).VersionId ?? "null";

/** Deletes, and tells what S3 tells of it. */
async function remove(db: Database, key: string, versionId?: string): Promise<void> {
  const answer = await s3.send(
    new DeleteObjectCommand({ Bucket, Key: key, ...(versionId && { VersionId: versionId }) }),
  );
  const name = versionId ? "ObjectRemoved:Delete" : "ObjectRemoved:DeleteMarkerCreated";
  const said = { key, versionId: versionId ?? answer.VersionId ?? "null", sequencer: "20" };
  await recordEvents(db.pool, parseS3({ Records: [s3Record(name, said)] }, new Date()).events, "right");
}

/** Has what lies in the bucket listed, as a backfill does, and shown. */
async function list(db: Database): Promise<void> {
  for await (const page of listObjects(s3, Bucket, "")) {
    const known = await registerPhotos(
      db.pool,
      page.map((photo) => ({ ...photo, known: {} })),
      "backfill",
    );
    await markQueued(
      db.pool,
      known.map(({ id }) => id),
    );
    for (const { id } of known) await judge(db, id, "shown");
  }
}

const shown = async (db: Database): Promise<string[]> =>
  (await db.pool.query("select key from public_photos order by key")).rows.map(({ key }) => key);

/** What a worker finds of those that it is to look at. */
async function looked(db: Database): Promise<string[]> {
  const fetch = createS3Fetch(s3);
  const photos = await unqueuedPhotos(db.pool, 0, 100);
  const limits = { maxBytes: 1_000, timeoutMs: 10_000 };
  return Promise.all(
    photos.map((photo) =>
      fetch(photo, limits).then(
        () => `${photo.key} there`,
        (error) => `${photo.key} ${codeOf(error)}`,
      ),
    ),
  );
}

describe.skipIf(!HAS_MOTO)("a photo that a listing made known by its etag, when in its bucket", () => {
  beforeAll(async () => {
    server = await startMoto();
    s3 = connectS3({ s3Endpoint: server.url, s3Region: "us-east-1", s3PathStyle: "auto" }, 4);
    await s3.send(new CreateBucketCommand({ Bucket }));
    await put("from before", "0");
    await versioning("Enabled");
  });
  afterAll(async () => {
    s3?.destroy();
    await server?.stop();
  });

  test("a version, a marker or what has no version is deleted, is shown no longer than it is there", async ({
    db,
  }) => {
    const only = await put("only", "1");
    const [old] = [await put("overwritten", "1"), await put("overwritten", "2")];
    const latest = await put("older again", "1").then(() => put("older again", "2"));
    await put("from before", "1");
    for (const key of ["marked", "untouched"]) await put(key, "1");
    await list(db);
    await remove(db, "only", only);
    await remove(db, "overwritten", old);
    await remove(db, "older again", latest);
    await remove(db, "marked");
    expect((await looked(db)).toSorted()).toEqual(["older again GONE", "only GONE", "overwritten there"]);
    expect(await shown(db)).toEqual(["from before", "older again", "only", "overwritten", "untouched"]);
    // whether it was this one nobody asks
    await remove(db, "from before", "null");
    expect(await shown(db)).not.toContain("from before");
  });

  test("versions were suspended, is withdrawn with what has no version, or by the marker that takes its place", async ({
    db,
  }) => {
    await versioning("Suspended");
    await put("suspended", "1");
    await put("marked again", "1");
    await list(db);
    expect(await shown(db)).toEqual(expect.arrayContaining(["marked again", "suspended"]));
    await remove(db, "suspended", "null");
    await remove(db, "marked again");
    expect((await shown(db)).filter((key) => ["suspended", "marked again"].includes(key))).toEqual([]);
  });
});
