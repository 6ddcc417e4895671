import { PutObjectCommand, type PutObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";

export interface TestS3 {
  address: string;
  client: S3Client;
  /** Into the first of its buckets. */
  put(
    key: string,
    body: Uint8Array | string,
    metadata?: Record<string, string>,
  ): Promise<PutObjectCommandOutput>;
  putInto(bucket: string, key: string, body: Uint8Array | string): Promise<PutObjectCommandOutput>;
  stop(): Promise<void>;
}

/** An S3 in this process, with these buckets, which are empty. It keeps no versions: see moto.ts. */
export async function startS3(...buckets: [string, ...string[]]): Promise<TestS3> {
  const server = await startFauxqs({ port: 0, logger: false });
  for (const bucket of buckets) server.createBucket(bucket);
  const client = new S3Client({ endpoint: server.address, region: "us-east-1", forcePathStyle: true });
  return {
    address: server.address,
    client,
    put: (Key, Body, Metadata) =>
      client.send(new PutObjectCommand({ Bucket: buckets[0], Key, Body, Metadata })),
    putInto: (Bucket, Key, Body) => client.send(new PutObjectCommand({ Bucket, Key, Body })),
    async stop() {
      client.destroy();
      await server.stop();
    },
  };
}
