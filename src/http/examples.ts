/** Bodies as their senders write them, for the OpenAPI document; a test takes each of them in. */

export const photo = {
  bucket: "photos",
  key: "42/dinner table.jpg",
  etag: "d41d8cd98f00b204e9800998ecf8427e",
  listing: "42",
  uploader: "user",
  claimed: "food",
};

export const s3 = {
  Records: [
    {
      eventVersion: "2.1",
      eventSource: "aws:s3",
      eventTime: "2026-11-26T03:00:00.000Z",
      eventName: "ObjectCreated:Put",
      s3: {
        bucket: { name: "photos" },
        object: {
          key: "42/dinner+table.jpg",
          eTag: "d41d8cd98f00b204e9800998ecf8427e",
          sequencer: "0055AED6DCD90281E5",
        },
      },
    },
  ],
};

export const eventBridge = {
  version: "0",
  id: "17793124-05d4-b198-2fde-7ededc63b103",
  "detail-type": "Object Created",
  source: "aws.s3",
  time: "2026-11-26T03:00:00Z",
  detail: {
    bucket: { name: "photos" },
    object: {
      key: "42/dinner table.jpg",
      etag: "d41d8cd98f00b204e9800998ecf8427e",
      sequencer: "00617F08299329D189",
    },
    reason: "PutObject",
  },
};

export const gcs = {
  message: {
    attributes: {
      eventType: "OBJECT_FINALIZE",
      bucketId: "photos",
      objectId: "42/dinner table.jpg",
      objectGeneration: "1764126000000000",
    },
  },
  subscription: "projects/restaurant/subscriptions/maitred",
};
