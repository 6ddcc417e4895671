import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectTaggingCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { createS3Fetch } from "../../src/image/s3.ts";
import { headObject } from "../../src/image/s3-listing.ts";
import { setTags } from "../../src/image/tags.ts";
import type { ListedObject } from "../../src/intake/reconcile-range.ts";
import { createLog } from "../../src/log.ts";
import { replayDeliveries } from "../../src/store/deliveries.ts";
import { addDestination } from "../../src/store/destinations.ts";
import { recordEvents } from "../../src/store/events.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { versionOf } from "../../src/version.ts";
import { startDeliver } from "../../workers/deliver.ts";
import { test as base, type Database } from "../fixtures.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { startProxy } from "../proxy.ts";
import { taggerOf } from "../tagger.ts";
import { decide, judge, register, removeObject } from "../verdicts.ts";
import { until } from "../waits.ts";

let server: Awaited<ReturnType<typeof startMoto>>;
let s3: S3Client;

const test = base.extend<{ deliver(): Promise<void> }>({
  deliver: async ({ configFor, db, scope }, use) => {
    await use(async () => {
      await addDestination(db.pool, { id: "tags", kind: "s3-tags", bucket: null, url: null }, null);
      const env = { MAITRED_S3_ENDPOINT: server.url, MAITRED_DELIVER_BACKOFF_MS: "100" };
      await startDeliver(configFor("postgres", env), createLog("silent"), scope);
    });
  },
});

/** Of a name that no other test uses: one server serves them all. */
async function put(Key: string, Body: string, Bucket = "photos", Tagging?: string): Promise<string> {
  const answer = await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...(Tagging && { Tagging }) }));
  return versionOf(answer.VersionId, answer.ETag);
}
async function tagsOf(Key: string, Bucket = "photos", VersionId?: string): Promise<Record<string, string>> {
  const { TagSet = [] } = await s3.send(
    new GetObjectTaggingCommand({ Bucket, Key, ...(VersionId && { VersionId }) }),
  );
  return Object.fromEntries(TagSet.map((tag) => [tag.Key!, tag.Value!]));
}
const told = async (db: Database): Promise<void> => {
  const waits = "select from deliveries where state <> 'delivered'";
  await until(
    () => db.pool.query(waits),
    ({ rowCount }) => rowCount === 0,
  );
};

describe.skipIf(!HAS_MOTO)("object tags", () => {
  beforeAll(async () => {
    server = await startMoto();
    s3 = new S3Client({ endpoint: server.url, region: "us-east-1", forcePathStyle: true });
    for (const Bucket of ["photos", "versioned"]) await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(
      new PutBucketVersioningCommand({
        Bucket: "versioned",
        VersioningConfiguration: { Status: "Enabled" },
      }),
    );
  });
  afterAll(async () => {
    s3?.destroy();
    await server?.stop();
  });

  test("follow verdicts, of models and moderators, beside the tags of others", async ({ db, deliver }) => {
    await deliver();
    const key = "42/a b+c é 🍜.jpg";
    const id = await register(db, key, await put(key, "one", "photos", "team=web"));
    await judge(db, id, "shown");
    await told(db);
    expect(await tagsOf(key)).toEqual({
      team: "web",
      "maitred-verdict": "shown",
      "maitred-category": "food",
    });
    await db.pool.query("select record_review($1, 'ann', 'hidden', 'menu')", [id]);
    await told(db);
    expect(await tagsOf(key)).toEqual({
      team: "web",
      "maitred-verdict": "hidden",
      "maitred-category": "menu",
    });
  });

  test("are of the version that was judged, and say so once it is withdrawn", async ({ db, deliver }) => {
    await deliver();
    const first = await put("v", "one", "versioned");
    const id = await register(db, "v", first, "versioned");
    await judge(db, id, "shown");
    await told(db);
    const second = await put("v", "two", "versioned");
    const next = await register(db, "v", second, "versioned");
    await told(db);
    expect(await tagsOf("v", "versioned", first)).toMatchObject({ "maitred-verdict": "withdrawn" });
    expect(await tagsOf("v", "versioned", second)).toEqual({});
    await judge(db, next, "hidden");
    await told(db);
    expect(await tagsOf("v", "versioned", second)).toMatchObject({ "maitred-verdict": "hidden" });
    expect(await tagsOf("v", "versioned", first)).toMatchObject({ "maitred-verdict": "withdrawn" });
  });

  test("are those of the version, where the same bytes were known by their etag before", async ({ db }) => {
    const { ETag, VersionId } = await s3.send(
      new PutObjectCommand({ Bucket: "versioned", Key: "listed", Body: "one" }),
    );
    const version = `etag:${ETag!.replaceAll('"', "")}`;
    await judge(db, await register(db, "listed", version, "versioned"), "shown");
    await judge(db, await register(db, "listed", VersionId!, "versioned"), "shown");
    const tag = taggerOf(db, s3);
    // that the first is withdrawn may be told last: between two photos there is no order
    const payload = { id: "1", sequence: 1, store: "s3", bucket: "versioned", key: "listed", version };
    expect(await tag({ payload })).toEqual({ outcome: "delivered" });
    expect(await tagsOf("listed", "versioned", VersionId)).toMatchObject({ "maitred-verdict": "shown" });
  });

  test("are not written where there are other bytes by now, nor where nothing would tell", async ({
    db,
    deliver,
  }) => {
    await deliver();
    const old = await put("replaced", "one");
    await put("replaced", "two");
    await put("unknown", "one");
    await judge(db, await register(db, "replaced", old), "shown");
    await judge(db, await register(db, "unknown", ""), "shown");
    await judge(db, await register(db, "nowhere", "etag:1"), "shown");
    await judge(db, await register(db, "nowhere", "no-such-version", "versioned"), "shown");
    await told(db);
    expect(await tagsOf("replaced")).toEqual({});
    expect(await tagsOf("unknown")).toEqual({});
    const { rows } = await db.pool.query("select last_error as note from deliveries order by seq");
    expect(rows.map(({ note }) => note)).toEqual([
      "other bytes are in its place: they have the tags of their own verdict, or none",
      "not tagged: it has neither version id nor etag",
      "its bytes are not there any more",
      "its bytes are not there any more",
    ]);
  });

  test("come back after an upload of the same bytes has taken them away", async ({ db, deliver }) => {
    await deliver();
    const upload = async (order: string) => {
      const version = await put("again", "one");
      const object = { store: "s3", bucket: "photos", key: "again", version } as const;
      const event = { ...object, kind: "created", order, known: {} } as const;
      return (await recordEvents(db.pool, [event], "left"))[0]!;
    };
    const { photoId } = await upload("1");
    await judge(db, photoId!, "shown");
    await told(db);
    expect(await tagsOf("again")).toMatchObject({ "maitred-verdict": "shown" });
    expect(await upload("2")).toMatchObject({ photoId, outcome: "known" });
    await told(db);
    expect(await tagsOf("again")).toMatchObject({ "maitred-verdict": "shown" });
  });

  test("go where the photo is forgotten, and others stay", async ({ db, deliver }) => {
    await deliver();
    await judge(
      db,
      await register(db, "forgotten", await put("forgotten", "one", "photos", "team=web")),
      "shown",
    );
    await judge(db, await register(db, "bare", await put("bare", "one")), "shown");
    await told(db);
    expect(await tagsOf("bare")).toMatchObject({ "maitred-verdict": "shown" });
    await db.pool.query("delete from photos");
    await told(db);
    expect(await tagsOf("forgotten")).toEqual({ team: "web" });
    expect(await tagsOf("bare")).toEqual({});
  });

  test("go where a verdict is taken back for none, so that nobody may read the object", async ({
    db,
    deliver,
  }) => {
    await deliver();
    const photo = await register(db, "undone", await put("undone", "one", "photos", "team=web"));
    const id = await decide(db, photo, { verdict: "shown" });
    await told(db);
    expect(await tagsOf("undone")).toEqual({ team: "web", "maitred-verdict": "shown" });
    await undoReview(db.pool, "ann", id, 60);
    await told(db);
    expect(await tagsOf("undone")).toEqual({ team: "web" });
  });

  test("of an object that was removed are no failure", async ({ db, deliver }) => {
    await deliver();
    await judge(db, await register(db, "removed", await put("removed", "one")), "shown");
    await told(db);
    await s3.send(new DeleteObjectCommand({ Bucket: "photos", Key: "removed" }));
    await removeObject(db, "removed");
    await told(db);
    expect((await db.pool.query("select from deliveries")).rowCount).toBe(2);
  });

  test("reach objects whose etags are made weak on the way, which are fetched as well", async () => {
    const version = await put("weak", "one");
    const proxy = await startProxy(
      server.url,
      async () => {},
      (headers) => {
        if (headers.etag) headers.etag = `W/${headers.etag}`;
      },
    );
    const through = new S3Client({ endpoint: proxy.url, region: "us-east-1", forcePathStyle: true });
    const asking = {
      s3: through,
      bucket: "photos",
      turn: async () => {},
      signal: new AbortController().signal,
    };
    const looked = await headObject(asking, "weak");
    expect(looked).toMatchObject({ etag: expect.stringMatching(/^W\/"/) });
    const { versionId, etag } = looked as ListedObject;
    const photo = {
      store: "s3",
      bucket: "photos",
      key: "weak",
      version: versionOf(versionId, etag),
    } as const;
    expect(photo.version).toBe(version);
    const { bytes } = await createS3Fetch(through)(photo, { maxBytes: 1_000, timeoutMs: 10_000 });
    expect(Buffer.from(bytes).toString()).toBe("one");
    expect(await setTags(through, photo, async () => ({ "maitred-verdict": "shown" }), 10_000)).toEqual({
      became: "tagged",
    });
    expect(await tagsOf("weak")).toEqual({ "maitred-verdict": "shown" });
    through.destroy();
    await proxy.close();
  });

  test("are taken back from bytes that came while they were written", async ({ db }) => {
    // an upload that comes between the check and the tag, as it may in a bucket without versions
    const version = await put("raced", "one");
    await judge(db, await register(db, "raced", version), "shown");
    const proxy = await startProxy(server.url, async ({ method, url }) => {
      if (method === "PUT" && url?.includes("tagging") && (await tagsOf("raced"))["by"] !== "uploader") {
        await put("raced", "two", "photos", "by=uploader");
      }
    });
    const through = new S3Client({ endpoint: proxy.url, region: "us-east-1", forcePathStyle: true });
    const tag = taggerOf(db, through);
    const payload = { id: "1", sequence: 1, store: "s3", bucket: "photos", key: "raced", version };
    expect(await tag({ payload })).toMatchObject({ outcome: "delivered" });
    expect(Object.keys(await tagsOf("raced"))).not.toContain("maitred-verdict");
    through.destroy();
    await proxy.close();
  });

  test("are taken back from bytes that came while an attempt wrote them that did not end", async ({ db }) => {
    const version = await put("cut off", "one");
    await judge(db, await register(db, "cut off", version), "shown");
    const later = await put("cut off", "two", "photos", "maitred-verdict=shown&by=uploader");
    await register(db, "cut off", later);
    const tag = taggerOf(db, s3);
    const payload = { id: "1", sequence: 1, store: "s3", bucket: "photos", key: "cut off", version };
    expect(await tag({ payload })).toMatchObject({ outcome: "delivered" });
    expect(await tagsOf("cut off")).toEqual({ by: "uploader" });
  });

  test("that others leave no room for are a dead delivery at once, which says what to do", async ({
    db,
    deliver,
  }) => {
    await deliver();
    const version = await put("ten", "one");
    const TagSet = Array.from({ length: 10 }, (_, n) => ({ Key: `k${n}`, Value: "v" }));
    const tag = (tags: typeof TagSet) =>
      s3.send(new PutObjectTaggingCommand({ Bucket: "photos", Key: "ten", Tagging: { TagSet: tags } }));
    await tag(TagSet);
    await judge(db, await register(db, "ten", version), "hidden");
    const states = "select state, attempts, last_error as why from deliveries";
    await expect
      .poll(async () => (await db.pool.query(states)).rows, { timeout: 10_000 })
      .toEqual([
        {
          state: "dead",
          attempts: 1,
          why: expect.stringMatching(/^TAGS_FULL: photos\/ten: .*ten tags.*replay/),
        },
      ]);
    await tag(TagSet.slice(1));
    for await (const _ of replayDeliveries(db.pool, { state: "dead" }));
    await told(db);
    expect(await tagsOf("ten")).toMatchObject({ "maitred-verdict": "hidden", k9: "v" });
  });

  test("leave out the category where others leave room for one", async () => {
    const version = await put("full", "one");
    const others = Array.from({ length: 9 }, (_, n) => ({ Key: `k${n}`, Value: "v" }));
    await s3.send(
      new PutObjectTaggingCommand({ Bucket: "photos", Key: "full", Tagging: { TagSet: others } }),
    );
    const photo = { store: "s3", bucket: "photos", key: "full", version } as const;
    const tags = { "maitred-verdict": "hidden", "maitred-category": "food" };
    expect(await setTags(s3, photo, async () => tags, 10_000)).toEqual({ became: "tagged" });
    const found = await tagsOf("full");
    expect(Object.keys(found)).toHaveLength(10);
    expect(found["maitred-verdict"]).toBe("hidden");
  });
});
