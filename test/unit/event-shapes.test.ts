import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Parsed, type PhotoEvent, saidAt } from "../../src/intake/event.ts";
import { parseEventBridge } from "../../src/intake/eventbridge.ts";
import { parseGcs } from "../../src/intake/gcs.ts";
import { parseS3 } from "../../src/intake/s3.ts";
import { anyKey, eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";

const now = new Date("2026-01-02T03:04:06Z");
const s3 = (...records: object[]): Parsed => parseS3({ Records: records }, now);
const only = ({ events }: Parsed): PhotoEvent => {
  expect(events).toHaveLength(1);
  return events[0]!;
};
const refused = (message: RegExp) =>
  expect.objectContaining({ code: "EVENT_INVALID", message: expect.stringMatching(message) });

describe("a notification of S3", () => {
  test("of a new object becomes one event, with its etag as the version", () => {
    const event = only(s3(s3Record("ObjectCreated:Put", { key: "42/red flower.jpg", etag: "d41d8" })));
    expect(event).toEqual({
      kind: "created",
      store: "s3",
      bucket: "photos",
      key: "42/red flower.jpg",
      version: "etag:d41d8",
      order: "0055aed6dcd90281e5",
      receivedAt: new Date("2026-01-02T03:04:05.678Z"),
      known: {},
    });
  });

  test("names the version where the bucket keeps versions, and not where it does not", () => {
    const version = (versionId: string) =>
      only(s3(s3Record("ObjectCreated:Copy", { key: "a", etag: "e", versionId }))).version;
    expect([version("3HL4kqt"), version("null"), version("")]).toEqual(["3HL4kqt", "etag:e", "etag:e"]);
  });

  test("of an object without an etag names its sequencer, so that an overwrite is another photo", () => {
    const said = { key: "a", sequencer: "0B" };
    expect(only(s3(s3Record("ObjectCreated:Put", said))).version).toBe("generation:0b");
    expect(only(parseEventBridge(eventBridge("Object Created", said), now)).version).toBe("generation:0b");
  });

  test("of a deletion takes the object, or the one version that it names; a marker takes the object", () => {
    const removed = (name: string, versionId?: string) =>
      only(s3(s3Record(name, { key: "a", ...(versionId && { versionId }) })));
    expect(removed("ObjectRemoved:Delete")).toMatchObject({ kind: "removed", version: "" });
    expect(removed("ObjectRemoved:Delete", "v1")).toMatchObject({ kind: "removed", version: "v1" });
    expect(removed("ObjectRemoved:Delete", "null")).toMatchObject({ kind: "removed", version: "null" });
    expect(removed("ObjectRemoved:DeleteMarkerCreated", "null")).toMatchObject({ version: "" });
    expect(removed("ObjectRemoved:DeleteMarkerCreated", "m1")).toMatchObject({
      kind: "removed",
      version: "",
    });
    expect(removed("LifecycleExpiration:Delete")).toMatchObject({ kind: "removed", version: "" });
  });

  test("may hold several records, of which those of no concern are counted and left out", () => {
    const { events, ignored } = s3(
      s3Record("ObjectCreated:Put", { key: "a" }),
      s3Record("ObjectTagging:Put", { key: "a" }),
      s3Record("ObjectCreated:Put", { key: "folder/" }),
      s3Record("ObjectRemoved:Delete", { key: "b" }),
    );
    expect(events.map(({ kind, key }) => `${kind} ${key}`)).toEqual(["created a", "removed b"]);
    expect(ignored).toBe(2);
  });

  test("that tests a new configuration is taken note of and dropped", () => {
    const test = {
      Service: "Amazon S3",
      Event: "s3:TestEvent",
      Time: "2026-01-02T03:04:05Z",
      Bucket: "photos",
    };
    expect(parseS3(test, now)).toEqual({ events: [], ignored: 1 });
  });

  test("of more records than a message may have is refused for that", () => {
    const Records = Array.from({ length: 1_001 }, () => s3Record("ObjectCreated:Put", { key: "a" }));
    expect(() => parseS3({ Records }, now)).toThrow(refused(/^Records: .*1000/));
  });

  test.each(["2.0", "2.1", "2.6", "2.99"])("of version %s is read, whatever it adds", (eventVersion) => {
    const record = {
      ...s3Record("ObjectCreated:Put", { key: "a" }, { eventVersion }),
      news: { of: "later" },
    };
    expect(s3(record).events).toHaveLength(1);
  });

  test.each(["1.9", "3.0", "20.1", "2", "", "x.y"])("of version %j is refused", (eventVersion) => {
    expect(() => s3(s3Record("ObjectCreated:Put", { key: "a" }, { eventVersion }))).toThrow(
      refused(/^Records\[0\]\.eventVersion: expected 2\.0 or a later 2\.x/),
    );
  });

  test("of Ceph is refused, as its sequencers do not sort", () => {
    const ceph = s3Record("ObjectCreated:Put", { key: "a" }, { eventSource: "ceph:s3" });
    expect(() => s3(ceph)).toThrow(refused(/^Records\[0\]\.eventSource: .* POST \/v1\/photos/));
    const silent = s3Record("ObjectCreated:Put", { key: "a" }, { eventSource: undefined });
    expect(s3(silent).events).toHaveLength(1);
  });

  test("that is broken is refused as a whole, and says where", () => {
    const good = s3Record("ObjectCreated:Put", { key: "a" });
    const withKey = (key: string) => {
      const record = s3Record("ObjectCreated:Put", { key: "a" }) as { s3: { object: { key: string } } };
      record.s3.object.key = key;
      return record;
    };
    expect(() => s3(good, withKey("50%"))).toThrow(
      refused(/^Records\[1\]\.s3\.object\.key: expected a form-encoded key/),
    );
    expect(() => s3(withKey("%FF"))).toThrow(refused(/form-encoded/));
    expect(() => s3(withKey("a%00b"))).toThrow(refused(/expected a key/));
    expect(() => s3(withKey(""))).toThrow(refused(/expected a key/));
    expect(() => s3(withKey("k".repeat(1025)))).toThrow(refused(/1024 bytes/));
    expect(() => s3(s3Record("ObjectCreated:Put", { key: "a", sequencer: null }))).toThrow(
      refused(/sequencer/),
    );
    // longer ones could not be told which is the later
    for (const sequencer of ["xyz", "0".repeat(65)])
      expect(() => s3(s3Record("ObjectCreated:Put", { key: "a", sequencer }))).toThrow(
        refused(/hexadecimal/),
      );
    expect(() => s3({ ...good, s3: { bucket: { name: "" }, object: { key: "a" } } })).toThrow(
      refused(/^Records\[0\]\.s3\.bucket\.name/),
    );
    for (const body of [null, 7, "x", [], {}, { Records: 1 }])
      expect(() => parseS3(body, now)).toThrow(refused(/./));
  });

  test("names a bucket and an etag that a request to S3 can have", () => {
    const named = (name: string) => ({ ...record, s3: { ...record.s3, bucket: { name } } });
    const record = s3Record("ObjectCreated:Put", { key: "a" }) as { s3: object };
    for (const name of ["a/b", "/", ".", ".."])
      expect(() => s3(named(name))).toThrow(refused(/^Records\[0\]\.s3\.bucket\.name: expected/));
    expect(s3(named("a.b..c")).events).toHaveLength(1);
    const etag = (etag: string) => only(s3(s3Record("ObjectCreated:Put", { key: "a", etag }))).version;
    for (const wrong of ["日本", "a\nb", "a b", "é", "x".repeat(1_001)])
      expect(() => etag(wrong)).toThrow(refused(/^Records\[0\]\.s3\.object\.eTag: expected/));
    expect([etag('"d41d8-2"'), etag("")]).toEqual(["etag:d41d8-2", "generation:0055aed6dcd90281e5"]);
  });

  test("that is broken and long is refused in few words, which logs and answers repeat", () => {
    const long = "%".repeat(500_000);
    const record = s3Record("ObjectCreated:Put", { key: "a" }) as { s3: { object: { key: string } } };
    record.s3.object.key = long;
    expect(() => s3(record)).toThrow(refused(/^.{1,300}$/));
    expect(() => s3(s3Record("ObjectCreated:Put", { key: "a", sequencer: long }))).toThrow(
      refused(/^.{1,300}$/),
    );
  });
});

describe("an event", () => {
  const said = { key: "a", sequencer: null };
  const times = (time: unknown, sequencer: string | null = null) => [
    only(s3(s3Record("LifecycleExpiration:Delete", { ...said, sequencer }, { eventTime: time }))).receivedAt,
    only(parseEventBridge({ ...eventBridge("Object Deleted", { ...said, sequencer }), time }, now))
      .receivedAt,
  ];

  test("was said at its own time, however late it comes", () => {
    const then = new Date("2026-01-01T03:04:05.678Z");
    expect(times(then.toISOString())).toEqual([then, then]);
    expect(times(then.toISOString(), "0b")).toEqual([then, then]);
  });

  test("and with a time that Postgres does not know, when it comes", () => {
    expect(saidAt("+012345-01-01T00:00:00Z", "now")).toBe("now");
    expect(saidAt("2099-01-01T00:00:00Z", "now")).toEqual(new Date("2099-01-01T00:00:00Z"));
  });

  test.each([undefined, 7, {}, "", "soon", "2026-01-02T03:04:07Z", "0001-01-01T00:00:00Z"])(
    "and with the time %j was said when it came",
    (time) => {
      expect(times(time)).toEqual([now, now]);
    },
  );
});

test("MinIO's webhook is read like S3's records, with its prefix and its encoded slashes", () => {
  const { kind, key, version, order } = only(
    parseS3(minioMessage("ObjectCreated:Put", { key: "42/a b+c.jpg", etag: "e1" }), now),
  );
  expect({ kind, key, version, order }).toEqual({
    kind: "created",
    key: "42/a b+c.jpg",
    version: "etag:e1",
    order: "17a3c5e7f1b2d3c4",
  });
  expect(parseS3(minioMessage("ObjectAccessed:Get", { key: "a" }), now)).toEqual({ events: [], ignored: 1 });
});

test("what MinIO calls created, and is only a tag or a lock on a version that may be an old one, is ignored", () => {
  for (const name of ["PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold"]) {
    const message = minioMessage(`ObjectCreated:${name}`, { key: "a", etag: "e1" });
    expect(parseS3(message, now)).toEqual({ events: [], ignored: 1 });
  }
});

test("that MinIO deleted all versions of an object at once takes the object", () => {
  const event = only(parseS3(minioMessage("ObjectRemoved:DeleteAllVersions", { key: "a" }), now));
  expect(event).toMatchObject({ kind: "removed", key: "a", version: "" });
  const named = s3Record("s3:ObjectRemoved:DeleteAllVersions", { key: "a", versionId: "v1" });
  expect(only(s3(named))).toMatchObject({ kind: "removed", version: "" });
});

describe("an event of EventBridge", () => {
  test("of a new object keeps its key as it is", () => {
    const event = only(
      parseEventBridge(eventBridge("Object Created", { key: "a+b %41.jpg", etag: "e1" }), now),
    );
    expect(event).toMatchObject({
      kind: "created",
      bucket: "photos",
      key: "a+b %41.jpg",
      version: "etag:e1",
      order: "617f08299329d189",
    });
    const versioned = eventBridge("Object Created", { key: "a", etag: "e1", versionId: "IYV3p" });
    expect(only(parseEventBridge(versioned, now)).version).toBe("IYV3p");
  });

  test("of a deletion takes the object or the version, as its deletion type says", () => {
    const removed = (type: string, versionId?: string) =>
      only(
        parseEventBridge(
          eventBridge(
            "Object Deleted",
            { key: "a", ...(versionId && { versionId }) },
            { "deletion-type": type },
          ),
          now,
        ),
      );
    expect(removed("Permanently Deleted")).toMatchObject({ kind: "removed", version: "" });
    expect(removed("Permanently Deleted", "v1")).toMatchObject({ kind: "removed", version: "v1" });
    expect(removed("Permanently Deleted", "null")).toMatchObject({ kind: "removed", version: "null" });
    expect(removed("Delete Marker Created", "m1")).toMatchObject({ kind: "removed", version: "" });
  });

  test("of another kind is ignored, and of another source refused", () => {
    expect(parseEventBridge(eventBridge("Object Tags Added", { key: "a" }), now)).toEqual({
      events: [],
      ignored: 1,
    });
    expect(parseEventBridge(eventBridge("Object Created", { key: "a/" }), now).ignored).toBe(1);
    const unordered = { bucket: { name: "photos" }, object: { key: "a" } };
    const told = { ...eventBridge("Object Created", { key: "a" }), detail: unordered };
    expect(() => parseEventBridge(told, now)).toThrow(refused(/^detail\.object\.sequencer/));
    const foreign = { ...eventBridge("Object Created", { key: "a" }), source: "aws.ec2" };
    expect(() => parseEventBridge(foreign, now)).toThrow(refused(/^source: expected aws\.s3/));
    const bare = { ...eventBridge("Object Created", { key: "a" }), detail: {} };
    expect(() => parseEventBridge(bare, now)).toThrow(refused(/^detail\.bucket/));
    const deep = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
    for (const body of [null, 7, "x", [], {}, { ...foreign, source: deep }])
      expect(() => parseEventBridge(body, now)).toThrow(refused(/./));
  });
});

describe("a notification of Cloud Storage", () => {
  test("has the generation as its order, and what identifies the bytes as its version", () => {
    const md5Hash = Buffer.from("d41d8cd98f00b204e9800998ecf8427e", "hex").toString("base64");
    const push = gcsPush("OBJECT_FINALIZE", "a+b %41.jpg", 1712345678901234, { md5Hash });
    expect(only(parseGcs(push, now))).toMatchObject({
      kind: "created",
      store: "s3",
      bucket: "photos",
      key: "a+b %41.jpg",
      version: "etag:d41d8cd98f00b204e9800998ecf8427e",
      order: "000017123456789012340",
      receivedAt: new Date("2026-01-02T03:04:05.678Z"),
    });
  });

  test("has the generation as its version where nothing tells the bytes apart", () => {
    for (const object of [null, {}])
      expect(only(parseGcs(gcsPush("OBJECT_FINALIZE", "a", 17, object), now)).version).toBe("generation:17");
  });

  test("of a generation that goes comes after that generation, and before the next", () => {
    const order = (type: string, generation: number) =>
      only(parseGcs(gcsPush(type, "a", generation), now)).order!;
    const inOrder = [
      order("OBJECT_FINALIZE", 999),
      order("OBJECT_DELETE", 999),
      order("OBJECT_FINALIZE", 1000),
      order("OBJECT_ARCHIVE", 1000),
    ];
    expect(inOrder.toSorted()).toEqual(inOrder);
    expect(new Set(inOrder).size).toBe(4);
    expect(only(parseGcs(gcsPush("OBJECT_DELETE", "a", 17), now)).version).toBe("");
  });

  test("of metadata is ignored, and a broken one is refused", () => {
    expect(parseGcs(gcsPush("OBJECT_METADATA_UPDATE", "a", 1), now)).toEqual({ events: [], ignored: 1 });
    expect(parseGcs(gcsPush("OBJECT_FINALIZE", "a/", 1), now)).toEqual({ events: [], ignored: 1 });
    const push = gcsPush("OBJECT_FINALIZE", "a", 1);
    const broken = (over: object) => ({ message: { ...push.message, ...over } });
    expect(() => parseGcs(broken({ data: "!" }), now)).toThrow(refused(/^message\.data/));
    const long = gcsPush("OBJECT_FINALIZE", "a", 1, { md5Hash: Buffer.alloc(5_000, 7).toString("base64") });
    expect(() => parseGcs(long, now)).toThrow(refused(/^message\.data: md5Hash/));
    expect(() => parseGcs(broken({ attributes: {} }), now)).toThrow(
      refused(/^message\.attributes\.eventType/),
    );
    expect(() =>
      parseGcs(broken({ attributes: { ...push.message.attributes, objectGeneration: "x" } }), now),
    ).toThrow(refused(/^message\.attributes\.objectGeneration/));
    for (const body of [null, 7, "x", [], {}]) expect(() => parseGcs(body, now)).toThrow(refused(/./));
  });
});

test("what nobody reads of an object or a message may be anything, or left out", () => {
  const record = s3Record("ObjectCreated:Put", { key: "a" }, { responseElements: "none" }) as {
    s3: { object: object };
  };
  Object.assign(record.s3.object, { size: "1024" });
  expect(s3(record).events).toHaveLength(1);
  const { id: _, ...event } = eventBridge("Object Created", { key: "a" });
  Object.assign(event.detail.object, { size: "1024" });
  expect(parseEventBridge(event, now).events).toHaveLength(1);
  const { messageId: __, ...message } = gcsPush("OBJECT_FINALIZE", "a", 17, { size: 1024 }).message;
  expect(parseGcs({ message }, now).events).toHaveLength(1);
});

describe("a key survives", () => {
  const travelled = (message: object): unknown => JSON.parse(JSON.stringify(message));
  const sources: Record<string, (key: string) => Parsed> = {
    S3: (key) => parseS3(travelled({ Records: [s3Record("ObjectCreated:Put", { key })] }), now),
    MinIO: (key) => parseS3(travelled(minioMessage("ObjectCreated:Put", { key })), now),
    EventBridge: (key) => parseEventBridge(travelled(eventBridge("Object Created", { key })), now),
    "Cloud Storage": (key) => parseGcs(travelled(gcsPush("OBJECT_FINALIZE", key, 1)), now),
  };

  test.each(Object.keys(sources))("its way through %s, whatever is in it", (source) => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(only(sources[source]!(key)).key).toBe(key);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(Object.keys(sources))("%s with a literal plus and percent sign", (source) => {
    for (const key of ["1+1.jpg", "100%.jpg", "a%2Fb", "a%20b", "a b", "+", "%"]) {
      expect(only(sources[source]!(key)).key).toBe(key);
    }
  });
});
