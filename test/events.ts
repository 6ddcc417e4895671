/** Messages as each source sends them, made here from its published contract. */
import fc from "fast-check";

interface Said {
  bucket?: string;
  key: string;
  etag?: string;
  versionId?: string;
  sequencer?: string | null;
}

export function s3Record(name: string, said: Said, over: Record<string, unknown> = {}): object {
  const { bucket = "photos", key, etag, versionId, sequencer = "0055AED6DCD90281E5" } = said;
  return {
    eventVersion: "2.1",
    eventSource: "aws:s3",
    awsRegion: "us-east-1",
    eventTime: "2026-01-02T03:04:05.678Z",
    eventName: name,
    userIdentity: { principalId: "AWS:AIDAEXAMPLE" },
    requestParameters: { sourceIPAddress: "192.0.2.7" },
    responseElements: { "x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8" },
    s3: {
      s3SchemaVersion: "1.0",
      configurationId: "to-maitred",
      bucket: { name: bucket, ownerIdentity: { principalId: "A3NL1" }, arn: `arn:aws:s3:::${bucket}` },
      object: {
        key: s3Encoded(key),
        size: 1024,
        eTag: etag,
        versionId,
        ...(sequencer !== null && { sequencer }),
      },
    },
    ...over,
  };
}

export function minioMessage(
  name: string,
  { bucket = "photos", key, etag, sequencer = "17A3C5E7F1B2D3C4" }: Said,
) {
  return {
    EventName: `s3:${name}`,
    Key: `${bucket}/${key}`,
    Records: [
      {
        eventVersion: "2.0",
        eventSource: "minio:s3",
        awsRegion: "",
        eventTime: "2026-01-02T03:04:05.678Z",
        eventName: `s3:${name}`,
        userIdentity: { principalId: "minio" },
        requestParameters: { principalId: "minio", region: "", sourceIPAddress: "192.0.2.7" },
        responseElements: {
          "x-amz-request-id": "17A3C5E7F1A0",
          "x-minio-origin-endpoint": "http://192.0.2.8:9000",
        },
        s3: {
          s3SchemaVersion: "1.0",
          configurationId: "Config",
          bucket: { name: bucket, ownerIdentity: { principalId: "minio" }, arn: `arn:aws:s3:::${bucket}` },
          object: { key: formEncoded(key), size: 1024, eTag: etag, contentType: "image/jpeg", sequencer },
        },
        source: { host: "192.0.2.7", port: "", userAgent: "MinIO (linux; amd64)" },
      },
    ],
  };
}

export function eventBridge(type: string, said: Said, over: Record<string, unknown> = {}) {
  const { bucket = "photos", key, etag, versionId, sequencer = "617f08299329d189" } = said;
  return {
    version: "0",
    id: "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": type,
    source: "aws.s3",
    account: "111122223333",
    time: "2026-01-02T03:04:05Z",
    region: "us-east-1",
    resources: [`arn:aws:s3:::${bucket}`],
    detail: {
      version: "0",
      bucket: { name: bucket },
      object: {
        key,
        size: 1024,
        etag,
        ...(versionId && { "version-id": versionId }),
        ...(sequencer !== null && { sequencer }),
      },
      "request-id": "N4N7GDK58NMKJ12R",
      requester: "123456789012",
      ...over,
    },
  };
}

export function gcsPush(type: string, key: string, generation: number, object: object | null = {}) {
  return {
    message: {
      attributes: {
        bucketId: "photos",
        objectId: key,
        objectGeneration: String(generation),
        eventType: type,
        eventTime: "2026-01-02T03:04:05.678Z",
        notificationConfig: "projects/_/buckets/photos/notificationConfigs/1",
        payloadFormat: object ? "JSON_API_V1" : "NONE",
      },
      ...(object && {
        data: Buffer.from(JSON.stringify({ kind: "storage#object", ...object })).toString("base64"),
      }),
      messageId: "136969346945",
      publishTime: "2026-01-02T03:04:05.900Z",
    },
    subscription: "projects/p/subscriptions/to-maitred",
  };
}

/** Names as people give them, and worse. */
export const anyKey: fc.Arbitrary<string> = fc
  .array(
    fc
      .array(
        fc.oneof(
          {
            weight: 4,
            arbitrary: fc.constantFrom(
              ..."+%&=?#;:@!$'()*,~ \"<>\\^`{|}[]_-.aZ09",
              "%20",
              "%2B",
              "%2F",
              "%%",
            ),
          },
          {
            weight: 1,
            arbitrary: fc.constantFrom("é", "ü", "e\u0301", "日本語", "🍜", "👩‍🍳", "ع", "\u00a0"),
          },
          { weight: 1, arbitrary: fc.string({ unit: "grapheme", minLength: 1, maxLength: 3 }) },
        ),
        { minLength: 1, maxLength: 6 },
      )
      .map((parts) => parts.join("").replaceAll("/", "_"))
      // a path of these means another object to an HTTP client
      .filter((segment) => !/^\.+$/.test(segment)),
    { minLength: 1, maxLength: 4 },
  )
  .map((segments) => segments.join("/"))
  // what XML cannot hold, no S3 server lists
  .filter((key) => !/\p{Cc}/u.test(key));

/** As an HTML form does, which is how MinIO writes keys. */
function formEncoded(key: string): string {
  return new URLSearchParams([["", key]]).toString().slice(1);
}

/** S3 leaves slashes as they are. */
function s3Encoded(key: string): string {
  return formEncoded(key).replaceAll("%2F", "/");
}
