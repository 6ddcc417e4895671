import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectTaggingCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { recordEvents } from "../../src/store/events.ts";
import { versionOf } from "../../src/version.ts";
import { type Database, test } from "../fixtures.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { taggerOf } from "../tagger.ts";
import { decide, judge, register, removeObject } from "../verdicts.ts";

/** The versions of objects whose photos are known by their etags, as listings of a bucket make them known. */
describe.skipIf(!HAS_MOTO)("every version with the bytes of a photo", () => {
  let server: Awaited<ReturnType<typeof startMoto>>;
  let s3: S3Client;
  const connect = () => new S3Client({ endpoint: server.url, region: "us-east-1", forcePathStyle: true });
  const keepVersions = (Bucket: string) =>
    s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));

  beforeAll(async () => {
    server = await startMoto();
    s3 = connect();
    await s3.send(new CreateBucketCommand({ Bucket: "photos" }));
    await keepVersions("photos");
  });
  afterAll(async () => {
    s3?.destroy();
    await server?.stop();
  });

  async function put(Key: string, Body: string, Bucket = "photos") {
    const { VersionId, ETag } = await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
    return { id: VersionId ?? "null", etag: versionOf(undefined, ETag) };
  }
  async function verdictOf(Key: string, VersionId: string, Bucket = "photos"): Promise<string | undefined> {
    const { TagSet } = await s3.send(new GetObjectTaggingCommand({ Bucket, Key, VersionId }));
    return TagSet?.find((tag) => tag.Key === "maitred-verdict")?.Value;
  }
  /** A client that does something else before it asks this. */
  function before<Input extends object>(
    asks: new (input: Input) => unknown,
    act: (input: Input) => void,
  ): S3Client {
    const client = connect();
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          if (commandName === asks.name) act(args.input as unknown as Input);
          return next(args);
        },
      { step: "initialize" },
    );
    return client;
  }
  /** What one delivery of this photo does. */
  const tell = (db: Database, key: string, version: string, { through = s3, bucket = "photos" } = {}) =>
    taggerOf(db, through)({ payload: { id: "1", sequence: 1, store: "s3", bucket, key, version } });

  test("is hidden with it, also once the same bytes were uploaded again", async ({ db }) => {
    const first = await put("same", "one");
    const other = await put("same", "two");
    const neighbour = await put("same.jpg", "one");
    const photo = await register(db, "same", first.etag);
    await judge(db, photo, "shown");
    await tell(db, "same", first.etag);
    const second = await put("same", "one");
    await tell(db, "same", first.etag);
    expect(await verdictOf("same", first.id)).toBe("shown");
    expect(await verdictOf("same", second.id)).toBe("shown");
    await decide(db, photo, { verdict: "hidden" });
    expect(await tell(db, "same", first.etag)).toEqual({ outcome: "delivered" });
    expect(await verdictOf("same", first.id)).toBe("hidden");
    expect(await verdictOf("same", second.id)).toBe("hidden");
    expect(await verdictOf("same", other.id)).toBeUndefined();
    expect(await verdictOf("same.jpg", neighbour.id)).toBeUndefined();
  });

  test("is hidden with it, where other bytes took its place before that was told", async ({ db }) => {
    const first = await put("overwritten", "one");
    const photo = await register(db, "overwritten", first.etag);
    await judge(db, photo, "shown");
    await tell(db, "overwritten", first.etag);
    await decide(db, photo, { verdict: "hidden" });
    const second = await put("overwritten", "two");
    expect(await tell(db, "overwritten", first.etag)).toEqual({ outcome: "delivered" });
    expect(await verdictOf("overwritten", first.id)).toBe("hidden");
    expect(await verdictOf("overwritten", second.id)).toBeUndefined();
  });

  test("is withdrawn with it, where a version of the same bytes has a photo of its own", async ({ db }) => {
    const first = await put("known", "one");
    await judge(db, await register(db, "known", first.etag), "shown");
    await tell(db, "known", first.etag);
    const second = await put("known", "one");
    const object = { store: "s3", bucket: "photos", key: "known", version: second.id } as const;
    const [event] = await recordEvents(
      db.pool,
      [{ ...object, kind: "created", order: "1", known: {} }],
      "left",
    );
    await judge(db, event!.photoId!, "hidden");
    await tell(db, "known", second.id);
    await tell(db, "known", first.etag);
    expect(await verdictOf("known", first.id)).toBe("withdrawn");
    expect(await verdictOf("known", second.id)).toBe("hidden");
  });

  test("is withdrawn with it, where the object was deleted, and untagged where it is forgotten", async ({
    db,
  }) => {
    const first = await put("deleted", "one");
    await judge(db, await register(db, "deleted", first.etag), "shown");
    await tell(db, "deleted", first.etag);
    await s3.send(new DeleteObjectCommand({ Bucket: "photos", Key: "deleted" }));
    await removeObject(db, "deleted");
    expect(await tell(db, "deleted", first.etag)).toEqual({ outcome: "delivered" });
    expect(await verdictOf("deleted", first.id)).toBe("withdrawn");
    await db.pool.query("delete from photos");
    await tell(db, "deleted", first.etag);
    expect(await verdictOf("deleted", first.id)).toBeUndefined();
  });

  test("is found in any page of the list, and any that was there before the bucket kept versions", async ({
    db,
  }) => {
    const bucket = "paged";
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    const key = "42/a b+c é 🍜.jpg";
    const ids = [(await put(key, "one", bucket)).id];
    await keepVersions(bucket);
    for (const body of ["one", "two", "one", "two"]) ids.push((await put(key, body, bucket)).id);
    await put(`${key}2`, "one", bucket);
    const { etag } = await put(key, "one", bucket);
    await judge(db, await register(db, key, etag, bucket), "shown");
    const through = before(ListObjectVersionsCommand, (input) => {
      input.MaxKeys = 2;
    });
    expect(await tell(db, key, etag, { through, bucket })).toEqual({ outcome: "delivered" });
    through.destroy();
    const verdicts = await Promise.all(ids.map((id) => verdictOf(key, id, bucket)));
    expect(verdicts).toEqual(["shown", "shown", undefined, "shown", undefined]);
  });

  test("is tagged though another one fails, and the delivery does", async ({ db }) => {
    const ids = [];
    for (let n = 0; n < 6; n++) ids.push((await put("fails", "one")).id);
    const { etag, id: latest } = await put("fails", "one");
    await judge(db, await register(db, "fails", etag), "hidden");
    const through = before(GetObjectTaggingCommand, ({ VersionId }) => {
      if (VersionId === latest) throw new Error("no");
    });
    await expect(tell(db, "fails", etag, { through })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    through.destroy();
    const verdicts = await Promise.all(ids.map((id) => verdictOf("fails", id)));
    expect(new Set(verdicts)).toEqual(new Set(["hidden"]));
  });

  test.for([
    [
      403,
      {
        outcome: "failed",
        final: true,
        why: expect.stringMatching(/^VERSIONS_UNLISTED: .*ListBucketVersions.*replay/),
      },
    ],
    [501, { outcome: "delivered" }],
  ] as const)(
    "but the current one keeps its tags where the store answers the list with %i",
    async ([status, outcome], { db }) => {
      const key = `answers ${status}`;
      const first = await put(key, "one");
      const second = await put(key, "one");
      await judge(db, await register(db, key, first.etag), "hidden");
      const through = before(ListObjectVersionsCommand, () => {
        throw Object.assign(new Error("no"), { $metadata: { httpStatusCode: status } });
      });
      expect(await tell(db, key, first.etag, { through })).toEqual(outcome);
      through.destroy();
      expect(await verdictOf(key, second.id)).toBe("hidden");
      expect(await verdictOf(key, first.id)).toBeUndefined();
    },
  );
});
