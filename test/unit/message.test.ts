import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Parsed } from "../../src/intake/event.ts";
import { parseEach } from "../../src/intake/message.ts";
import { regionOf } from "../../src/intake/sqs.ts";
import { anyKey, eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import { notification, subscription } from "../sns.ts";

const now = new Date("2026-01-02T03:04:06Z");
const parse = (message: unknown): Parsed => {
  const { error, ...parsed } = parseEach(JSON.stringify(message), now);
  if (error) throw error;
  return parsed;
};
const wrappings: Record<string, (key: string) => unknown> = {
  S3: (key) => ({ Records: [s3Record("ObjectCreated:Put", { key })] }),
  "S3 in SNS": (key) => notification({ Records: [s3Record("ObjectCreated:Put", { key })] }),
  EventBridge: (key) => eventBridge("Object Created", { key }),
  "EventBridge in SNS": (key) => notification(eventBridge("Object Created", { key })),
  MinIO: (key) => minioMessage("ObjectCreated:Put", { key }),
  "Cloud Storage": (key) => gcsPush("OBJECT_FINALIZE", key, 7),
  "a platform": (key) => ({ bucket: "photos", key }),
  "a platform, in a list": (key) => [{ bucket: "photos", key }],
};

describe("a message of a queue", () => {
  test.each(Object.keys(wrappings))("from %s is one event, whatever the key", (source) => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const { events, ignored } = parse(wrappings[source]!(key));
        expect([events.map((event) => event.key), ignored]).toEqual([[key], 0]);
        expect(events[0]).toMatchObject({ kind: "created", bucket: "photos" });
      }),
      { numRuns: 300 },
    );
  });

  test("of a platform has what it knows, and no order", () => {
    const told = { bucket: "b", key: "a", etag: '"e1"', listing: "42", uploader: "user", claimed: "menu" };
    expect(parse(told).events).toEqual([
      {
        kind: "created",
        store: "s3",
        bucket: "b",
        key: "a",
        version: "etag:e1",
        order: null,
        receivedAt: now,
        known: { listing: "42", uploader: "user", claimed: "menu" },
      },
    ]);
  });

  test.each([{ Service: "Amazon S3", Event: "s3:TestEvent" }, notification({ Event: "s3:TestEvent" })])(
    "that tries a new configuration is taken note of: %#",
    (message) => {
      expect(parse(message)).toEqual({ events: [], ignored: 1 });
    },
  );

  test.each([
    ["hello", /^the message: expected JSON$/],
    ["", /^the message: expected JSON$/],
    ["null", /^expected a notification of S3, an event of EventBridge/],
    ["{}", /^expected a notification of S3, an event of EventBridge/],
    ['"x"', /^expected a notification/],
    ["[]", /./],
    [JSON.stringify({ key: "a" }), /^bucket/],
    [JSON.stringify({ bucket: "b", key: "a", lisitng: "42" }), /lisitng/],
    [JSON.stringify({ Records: [{}] }), /^Records\[0\]\./],
    [JSON.stringify(eventBridge("Object Created", { key: "a", sequencer: null })), /sequencer/],
    [JSON.stringify(notification("hello")), /^Message: expected JSON$/],
    [JSON.stringify(notification([])), /^expected a notification of S3, or an event of EventBridge$/],
    // an envelope within an envelope is nobody's
    [JSON.stringify(notification(notification({ Records: [] }))), /^expected a notification of S3, or/],
    [JSON.stringify(notification("x", { Message: 7 })), /^expected a Notification of SNS with a Message$/],
    [JSON.stringify(subscription("SubscriptionConfirmation")), /SubscribeURL/],
  ])("%s is refused, with the reason", (body, message) => {
    expect(parseEach(body, now)).toMatchObject({
      events: [],
      error: { code: "EVENT_INVALID", message: expect.stringMatching(message) },
    });
  });
});

describe("of a message that is understood in part", () => {
  const record = (key: string) => s3Record("ObjectCreated:Put", { key });
  const photo = (key: unknown) => ({ bucket: "photos", key });
  test.each<[string, unknown, string[]]>([
    ["records", { Records: [record("a"), {}, record("b")] }, ["a", "b"]],
    ["records in SNS", notification({ Records: [{}, record("a")] }), ["a"]],
    ["photos", [photo("a"), photo(7), photo("b")], ["a", "b"]],
    ["a list within a list", [photo("a"), [photo("b")]], ["a"]],
    // as neither is taken where it is right
    ["photos in SNS", notification([photo("a"), photo(7)]), []],
    ["more photos than one may hold", Array.from({ length: 1_001 }, (_, n) => photo(`${n}`)), []],
    ["records that are none", { Records: { 0: record("a") } }, []],
    ["one photo", photo(7), []],
  ])("%s that are right are told apart", (_what, message, keys) => {
    const { events, error } = parseEach(JSON.stringify(message), now);
    expect([events.map(({ key }) => key), error?.name]).toEqual([keys, "EventError"]);
  });

  test("the reason says where it is wrong", () => {
    const message = { Records: [record("a"), { ...record("b"), eventVersion: "3.0" }] };
    expect(parseEach(JSON.stringify(message), now).error?.message).toMatch(/^Records\[1\]\.eventVersion: /);
    expect(parseEach("hello", now)).toMatchObject({ events: [], error: { code: "EVENT_INVALID" } });
    expect(parseEach(JSON.stringify(photo("a")), now)).toEqual({ events: [expect.anything()], ignored: 0 });
  });
});

test.each([
  ["https://sqs.eu-west-1.amazonaws.com/123456789012/uploads", "eu-west-1"],
  ["https://sqs.cn-north-1.amazonaws.com.cn/123456789012/uploads", "cn-north-1"],
  ["https://eu-west-1.queue.amazonaws.com/123456789012/uploads", "eu-west-1"],
  ["http://localhost:4566/000000000000/uploads", undefined],
])("the region of %s is %s", (url, region) => {
  expect(regionOf(url)).toBe(region);
});
