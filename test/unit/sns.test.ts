import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { checkTopic, openSns } from "../../src/intake/sns.ts";
import { CERTIFICATE, createSigner, notification, type Signer, subscription, TOPIC } from "../sns.ts";

let signer: Signer;
beforeAll(async () => {
  signer = await createSigner();
});

const keyOf = ({ pem }: Signer) => new X509Certificate(pem).publicKey;

/** Opens a message, and tells what was asked of SNS meanwhile. */
async function open(message: unknown, { topics = [TOPIC], now = new Date(), key = keyOf(signer) } = {}) {
  const asked: string[] = [];
  const told: string[] = [];
  const neighbours = {
    async signingKey(url: URL) {
      asked.push(url.href);
      return key;
    },
    async confirm(url: URL) {
      asked.push(url.href);
    },
    told: ({ type }: { type: string }) => void told.push(type),
  };
  const opened = openSns(message, { topics, maxAgeS: 3_600 }, neighbours, now);
  const refusal = await opened.then(
    () => undefined,
    (error: { code: string; message: string }) => error,
  );
  return { published: refusal ? undefined : (await opened)?.text, refusal, asked, told };
}

describe.each(["1", "2"])("of signature version %s", (SignatureVersion) => {
  test("a message is opened, with a subject or without", async () => {
    for (const Subject of ["Amazon S3 Notification", undefined]) {
      const message = signer.sign(notification("ünï\ncode", { SignatureVersion, Subject }));
      expect(await open(message)).toMatchObject({ published: "ünï\ncode", asked: [CERTIFICATE], told: [] });
    }
  });

  test.each(["Message", "MessageId", "Subject", "Timestamp", "TopicArn"])(
    "a message whose %s was changed is refused",
    async (name) => {
      const message = signer.sign(notification("x", { SignatureVersion }));
      const other = name === "Timestamp" ? new Date(Date.now() - 1_000).toISOString() : `${message[name]}.`;
      const { refusal } = await open({ ...message, [name]: other }, { topics: [TOPIC, `${TOPIC}.`] });
      expect(refusal).toMatchObject({ code: "EVENT_REFUSED", message: expect.stringContaining("Signature") });
    },
  );

  test("a subscription is confirmed at its own address, and told of; its end is told of alone", async () => {
    const asks = signer.sign(subscription("SubscriptionConfirmation", { SignatureVersion }));
    expect(await open(asks)).toEqual({
      published: undefined,
      refusal: undefined,
      asked: [CERTIFICATE, asks["SubscribeURL"]],
      told: ["SubscriptionConfirmation"],
    });
    const ends = signer.sign(subscription("UnsubscribeConfirmation", { SignatureVersion }));
    expect(await open(ends)).toMatchObject({ asked: [CERTIFICATE], told: ["UnsubscribeConfirmation"] });
  });

  test.each(["Token", "SubscribeURL", "Type"])(
    "a subscription whose %s was changed is not confirmed",
    async (name) => {
      const message = signer.sign(subscription("SubscriptionConfirmation", { SignatureVersion }));
      const other = name === "Type" ? "UnsubscribeConfirmation" : `${message[name]}1`;
      expect(await open({ ...message, [name]: other })).toMatchObject({
        refusal: { code: "EVENT_REFUSED" },
        asked: [CERTIFICATE],
        told: [],
      });
    },
  );
});

test("a signature of one version is not taken for one of the other", async () => {
  const message = signer.sign(notification("x", { SignatureVersion: "2" }));
  expect((await open({ ...message, SignatureVersion: "1" })).refusal?.message).toContain("Signature");
});

test("a message of a topic that is not heard is refused before anything is fetched for it", async () => {
  for (const topics of [[], [`${TOPIC}2`], [TOPIC.toUpperCase()]]) {
    const { refusal, asked } = await open(signer.sign(notification("x")), { topics });
    expect(refusal).toMatchObject({
      code: "EVENT_REFUSED",
      message: expect.stringContaining("MAITRED_SNS_TOPICS"),
    });
    expect(asked).toEqual([]);
  }
});

test("a topic that is not heard is named in the refusal, up to a length", () => {
  const refusal = (topic: unknown): string => {
    try {
      checkTopic(topic, []);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("it was heard");
  };
  expect(refusal("arn:aws:sns:eu-west-1:1:other")).toContain('"arn:aws:sns:eu-west-1:1:other"');
  for (const long of ["a".repeat(100_000), Array(100_000).fill("a")])
    expect(refusal(long).length).toBeLessThan(500);
});

test("a message is heard for an hour, and not from the future", async () => {
  const now = new Date("2026-01-02T12:00:00Z");
  const at = (Timestamp: string) => open(signer.sign(notification("x", { Timestamp })), { now });
  for (const time of ["2026-01-02T11:00:00.000Z", "2026-01-02T12:05:00.000Z"]) {
    expect((await at(time)).published).toBe("x");
  }
  for (const time of ["2026-01-02T10:59:59.999Z", "2026-01-02T12:05:00.001Z"]) {
    const { refusal, asked } = await at(time);
    expect(refusal).toMatchObject({ code: "EVENT_REFUSED", message: expect.stringContaining("Timestamp") });
    expect(asked).toEqual([]);
  }
});

/** Addresses that look like those of SNS, and are others'. */
const elsewhere = [
  "http://sns.eu-west-1.amazonaws.com/a.pem",
  "https://sns.eu-west-1.amazonaws.com.evil.com/a.pem",
  "https://sns.eu-west-1.amazonaws.com.cn.evil.com/a.pem",
  "https://evil.com/sns.eu-west-1.amazonaws.com/a.pem",
  "https://evil-sns.eu-west-1.amazonaws.com/a.pem",
  "https://x.sns.eu-west-1.amazonaws.com/a.pem",
  "https://sns.amazonaws.com/a.pem",
  "https://sns.eu-west-1xamazonaws.com/a.pem",
  "https://sns.evil.com#.amazonaws.com/a.pem",
  "https://sns.eu-west-1.amazonaws.com@evil.com/a.pem",
  "https://me@sns.eu-west-1.amazonaws.com/a.pem",
  "https://:you@sns.eu-west-1.amazonaws.com/a.pem",
  "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
  // buckets that anybody could have named sns
  "https://sns.s3.amazonaws.com/a.pem",
  "https://sns.s3-eu-west-1.amazonaws.com/a.pem",
  "https://sns.s3.eu-west-1.amazonaws.com/a.pem",
  "https://sns.s3-website-eu-west-1.amazonaws.com/a.pem",
  "https://sns.eu-west-1.amazonaws.de/a.pem",
  "a.pem",
  "",
];

test("a message is refused where its certificate has a key of another kind", async () => {
  const { publicKey: key } = generateKeyPairSync("ed25519");
  expect((await open(signer.sign(notification("a")), { key })).refusal).toMatchObject({
    code: "EVENT_REFUSED",
    message: expect.stringContaining("Signature"),
  });
});

test.each(elsewhere)("no certificate is fetched from %j", async (SigningCertURL) => {
  const { refusal, asked } = await open(signer.sign(notification("x", { SigningCertURL })));
  expect(refusal).toMatchObject({
    code: "EVENT_REFUSED",
    message: expect.stringContaining("SigningCertURL"),
  });
  expect(asked).toEqual([]);
});

const confirming = elsewhere.map((url) =>
  url.replace(/\/?a\.pem/, "/?Action=ConfirmSubscription&Token=2336412f37"),
);

test.each([...confirming, CERTIFICATE])(
  "no subscription is confirmed at %j, whoever signed it",
  async (SubscribeURL) => {
    const { refusal, asked } = await open(
      signer.sign(subscription("SubscriptionConfirmation", { SubscribeURL })),
    );
    expect(refusal).toMatchObject({
      code: "EVENT_REFUSED",
      message: expect.stringContaining("SubscribeURL"),
    });
    expect(asked).toEqual([]);
  },
);

test.each([
  "\\@evil.com/a.pem",
  "/a.pem?x=.pem",
  "/a.pem/",
  "/a.pem.html",
  "/a",
  "/",
  "/../x/b.pem",
  "/a%2f.pem",
])("no certificate is fetched from the path %s of SNS", async (path) => {
  const SigningCertURL = `https://sns.eu-west-1.amazonaws.com${path}`;
  const { refusal, asked } = await open(signer.sign(notification("x", { SigningCertURL })));
  expect([refusal?.code, asked]).toEqual(["EVENT_REFUSED", []]);
});

test.each(["us-gov-west-1", "cn-north-1", "ap-southeast-4", "us-iso-east-1"])(
  "%s is a region whose certificates are fetched",
  async (region) => {
    const end = region.startsWith("cn") ? ".cn" : "";
    const SigningCertURL = `https://sns.${region}.amazonaws.com${end}/a.pem`;
    expect((await open(signer.sign(notification("x", { SigningCertURL })))).published).toBe("x");
  },
);

test.each([
  [null, "expected a message of SNS"],
  [{}, "Type"],
  [notification("x", { SignatureVersion: "3", Signature: "" }), "SignatureVersion"],
  [notification("x"), "Signature"],
  [notification("x", { Timestamp: "yesterday", Signature: "" }), "Timestamp"],
] as const)("%# is no message of SNS, and it is said why", async (message, why) => {
  const { refusal, asked } = await open(message);
  expect(refusal).toMatchObject({ code: "EVENT_INVALID", message: expect.stringContaining(why) });
  expect(asked).toEqual([]);
});
