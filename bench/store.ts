import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Store {
  /** The bucket answers to any name. */
  endpoint: string;
  /** Objects that were read so far. */
  reads(): number;
  close(): Promise<void>;
}

/**
 * A bucket of so many keys, as ListObjectsV2 tells of it: pages of 1,000 from memory, so no network and no disk. Object n
 * is `photos[n % photos.length]`.
 */
export async function startStore(keys: number, photos: readonly Buffer[] = []): Promise<Store> {
  let reads = 0;
  const server = createServer((request, response) => {
    const { pathname, searchParams: asked } = new URL(request.url!, "http://localhost");
    const object = /^\/[^/]+\/.*?(\d{9})-/.exec(pathname);
    if (object && photos.length > 0) {
      reads++;
      const n = Number(object[1]);
      response.setHeader("etag", `"${etagOf(n)}"`);
      response.end(photos[n % photos.length]);
    } else if (asked.has("versioning")) {
      response.setHeader("content-type", "application/xml");
      response.end("<VersioningConfiguration/>");
    } else if (asked.get("list-type") === "2") {
      response.setHeader("content-type", "application/xml");
      response.end(page(asked, keys));
    } else {
      response.writeHead(404).end();
    }
  });
  // a reader that pauses for longer would meet a connection that closes as it asks
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reads: () => reads,
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function page(asked: URLSearchParams, keys: number): string {
  const after = /(\d{9})-/.exec(asked.get("start-after") ?? "");
  const first = Number(asked.get("continuation-token") ?? (after ? Number(after[1]) + 1 : 0));
  const last = Math.min(keys, first + Number(asked.get("max-keys") ?? 1_000));
  const contents: string[] = [];
  for (let n = first; n < last; n++) {
    contents.push(
      `<Contents><Key>${keyOf(n)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;${etagOf(n)}&quot;</ETag><Size>1000</Size><StorageClass>STANDARD</StorageClass></Contents>`,
    );
  }
  const next = last < keys ? `<NextContinuationToken>${last}</NextContinuationToken>` : "";
  return `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${last < keys}</IsTruncated>${next}${contents.join("")}</ListBucketResult>`;
}

export function keyOf(n: number): string {
  return `uploads/${String(n).padStart(9, "0")}-dinner-for-two.jpg`;
}

/** Which object of the bucket a key names. */
export function numberOf(key: string): number {
  return Number(/(\d{9})-/.exec(key)?.[1]);
}

function etagOf(n: number): string {
  return n.toString(16).padStart(32, "0");
}
