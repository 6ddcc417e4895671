import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";
import type { PhotoRef } from "../../src/photo.ts";
import { BACKENDS } from "../fixtures.ts";
import { test } from "../lines.ts";

const samples = inject("samples");

describe("a store that misbehaves", () => {
  const backend = BACKENDS[0]!;
  let server: Server;
  let sent = 0;
  let throttled = 0;
  let asked: IncomingHttpHeaders = {};
  /** How the store answers for `decided`: with the photo, or with this refusal. */
  let refusal: { status: number; code: string; message?: string } | undefined;
  const xml = { "content-type": "application/xml" };

  beforeAll(async () => {
    server = createServer((request, response) => {
      const key = request.url!.split("?")[0]!.split("/").at(-1)!;
      asked = request.headers;
      if (key === "silent") return;
      if (key === "page") return void response.end("<!doctype html><title>console</title>");
      if (key === "nothing") return void response.end();
      response.setHeader("etag", '"abc"');
      if (key === "denied")
        return void response
          .writeHead(403, { "content-type": "application/xml" })
          .end("<Error><Code>AccessDenied</Code></Error>");
      if (key === "keys")
        return void response
          .writeHead(403, { "content-type": "application/xml" })
          .end("<Error><Code>InvalidAccessKeyId</Code></Error>");
      if (key === "nobucket")
        return void response.writeHead(404, xml).end("<Error><Code>NoSuchBucket</Code></Error>");
      if (key === "nos3") return void response.writeHead(404).end("<html>not found</html>");
      if (key === "decided" && !refusal)
        return void response.end(readFileSync(join(samples, "business-product-1.jpg")));
      if (key === "decided" && refusal)
        return void response
          .writeHead(refusal.status, xml)
          .end(
            refusal.code &&
              `<Error><Code>${refusal.code}</Code><Message>${refusal.message ?? ""}</Message></Error>`,
          );
      if (key === "busy") return void response.writeHead(503).end();
      if (key === "throttled" && ++throttled <= 2)
        return void response.writeHead(503, xml).end("<Error><Code>SlowDown</Code></Error>");
      if (key === "throttled" || key === "given")
        return void response.end(readFileSync(join(samples, "business-product-1.jpg")));
      if (key === "short") {
        response.writeHead(200, { "content-length": "5000" }).write("half");
        return void setImmediate(() => response.destroy());
      }
      if (key === "trickles" || key === "slow") {
        const [parts, bytes, everyMs] = key === "slow" ? [5, 100_000, 400] : [1_000, 10, 20];
        const part = Buffer.alloc(bytes);
        part.set([0xff, 0xd8, 0xff]);
        part.set([0xff, 0xd9], bytes - 2);
        response.writeHead(200, { "content-length": parts * bytes });
        let left = parts;
        const timer = setInterval(() => {
          if (--left > 0 && !response.destroyed) return void response.write(part);
          clearInterval(timer);
          response.end(part);
        }, everyMs);
        return;
      }
      // endless: no length, and bytes for as long as anyone reads
      response.writeHead(200);
      const chunk = Buffer.alloc(65_536);
      if (key !== "video") chunk.set([0xff, 0xd8, 0xff]);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.on("drain", more);
      more();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  for (const [key, code, retries] of [
    ["silent", "STORE_UNAVAILABLE", 2],
    ["busy", "STORE_UNAVAILABLE", 2],
    ["short", "STORE_UNAVAILABLE", 2],
    ["trickles", "STORE_UNAVAILABLE", 2],
    ["keys", "STORE_UNAVAILABLE", 2],
    ["nobucket", "STORE_UNAVAILABLE", 2],
    ["nos3", "STORE_UNAVAILABLE", 2],
    ["denied", "ACCESS_DENIED", 0],
    ["endless", "TOO_LARGE", 0],
    ["video", "UNSUPPORTED_FORMAT", 0],
  ] as const) {
    test(`${key}: ${code} after ${retries} retries, which history tells`, async ({ start, db }) => {
      const { port } = server.address() as AddressInfo;
      const line = await start(backend, {
        MAITRED_S3_ENDPOINT: `http://127.0.0.1:${port}`,
        MAITRED_MODEL: inject("idleModel"),
        MAITRED_FETCH_TIMEOUT_MS: "400",
        MAITRED_MAX_BYTES: "1000000",
      });
      const rows = await line.judge([{ store: "s3", bucket: "b", key, version: "" }]);
      expect(rows.get(key)).toMatchObject({ state: "failed", failure: code });
      expect(line.retries).toEqual(Array(retries).fill("STORE_UNAVAILABLE"));
      expect((await db.pool.query("select verdict, tries from verdicts")).rows).toEqual([
        { verdict: "failed", tries: retries + 1 },
      ]);
      // what is beyond the limit is at most what sockets hold
      expect(sent).toBeLessThan(20_000_000);
    });
  }

  test("an upload whose store is busy is waited for, though it gives others meanwhile", async ({ start }) => {
    const line = await start(backend, {
      MAITRED_S3_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      MAITRED_MODEL: inject("idleModel"),
      // the other is asked for after this one was refused
      MAITRED_CONCURRENCY: "1",
      MAITRED_DUPLICATES: "each",
      MAITRED_PATIENCE_MS: "60000",
      MAITRED_ATTEMPTS: "1",
    });
    const photos = ["throttled", "given"].map(
      (key): PhotoRef => ({ store: "s3", bucket: "b", key, version: "" }),
    );
    const rows = await line.judge(photos);
    expect(throttled).toBe(3);
    expect(rows.get("throttled")).toMatchObject({ state: "shown" });
  }, 60_000);

  test("a photo has the time that it takes for as long as more of it keeps coming, and no checksum is asked for", async () => {
    const { port } = server.address() as AddressInfo;
    const s3Endpoint = `http://127.0.0.1:${port}`;
    const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1);
    const slow: PhotoRef = { store: "s3", bucket: "b", key: "slow", version: "" };
    const limits = { maxBytes: 1_000_000, timeoutMs: 1_500 };
    const { bytes } = await createS3Fetch(through)(slow, limits);
    expect(bytes.length).toBe(500_000);
    expect(asked).not.toHaveProperty("x-amz-checksum-mode");
    through.destroy();
  });

  test("what is not said of the photo undoes no verdict, and fails what waits by a name that says what to check", async ({
    start,
  }) => {
    const { port } = server.address() as AddressInfo;
    const line = await start(backend, {
      MAITRED_S3_ENDPOINT: `http://127.0.0.1:${port}`,
      MAITRED_MODEL: inject("idleModel"),
    });
    const photo = (key: string): PhotoRef => ({ store: "s3", bucket: "b", key, version: "" });
    const decided = photo("first/decided");
    refusal = undefined;
    expect((await line.judge([decided])).get(decided.key)).toMatchObject({ state: "shown" });
    for (const [status, code, failure, reason, message] of [
      [404, "NoSuchBucket", "STORE_UNAVAILABLE", "NoSuchBucket: check the bucket and MAITRED_S3_ENDPOINT"],
      [404, "", "STORE_UNAVAILABLE", "check MAITRED_S3_ENDPOINT"],
      [403, "AccessDenied", "ACCESS_DENIED", "AccessDenied"],
      [403, "", "STORE_UNAVAILABLE", "403, without a reason of S3"],
      [307, "", "STORE_UNAVAILABLE", "307, without a reason of S3"],
      [403, "InvalidAccessKeyId", "STORE_UNAVAILABLE", "check the credentials"],
      [403, "SignatureDoesNotMatch", "STORE_UNAVAILABLE", "check the credentials"],
      [301, "PermanentRedirect", "STORE_UNAVAILABLE", "check MAITRED_S3_REGION"],
      [400, "AuthorizationHeaderMalformed", "STORE_UNAVAILABLE", "check MAITRED_S3_REGION"],
      [400, "InvalidRequest", "ACCESS_DENIED", "only with a key of its owner (SSE-C)", KEYED],
      [400, "InvalidArgument", "ACCESS_DENIED", "only with a key of its owner (SSE-C)", KEYED_CEPH],
      [400, "ResourceIsEncryptedWithCustomerEncryptionKey", "ACCESS_DENIED", "(SSE-C)"],
      [400, "InvalidRequest", "STORE_UNAVAILABLE", "InvalidRequest: of another kind", "of another kind"],
      [400, "InvalidArgument", "STORE_UNAVAILABLE", "over a secure connection", KEPT_BY_KMS],
    ] as const) {
      refusal = { status, code, message: message ?? "" };
      const waiting = photo(`${status}${code}${message ?? ""}/decided`);
      const rows = await line.judge([decided, waiting]);
      expect.soft(rows.get(decided.key), code).toMatchObject({ state: "shown", failure: null });
      expect
        .soft(rows.get(waiting.key), code)
        .toMatchObject({ state: "failed", failure, reason: expect.stringContaining(reason) });
    }
    for (const key of ["page", "nothing"])
      expect((await line.judge([photo(key)])).get(key)).toMatchObject({
        failure: "STORE_UNAVAILABLE",
        reason: expect.stringContaining("check MAITRED_S3_ENDPOINT"),
      });
    refusal = undefined;
    // of a server that does not know If-Match
    for (const [version, then] of [
      ["etag:abc", { state: "shown" }],
      ["etag:other", { state: "failed", failure: "GONE" }],
    ] as const) {
      const tagged = { ...photo(`${version}/decided`), version };
      expect((await line.judge([tagged])).get(tagged.key)).toMatchObject(then);
    }
    refusal = { status: 400, code: "InvalidArgument", message: "Invalid version id specified" };
    const misnamed = { ...photo("misnamed/decided"), version: "no version of S3" };
    expect((await line.judge([misnamed])).get(misnamed.key)).toMatchObject({ failure: "GONE" });
    // which it said for a moment alone
    refusal = undefined;
    expect((await line.judge([misnamed])).get(misnamed.key)).toMatchObject({ state: "shown", failure: null });
    refusal = { status: 404, code: "NoSuchKey" };
    expect((await line.judge([decided])).get(decided.key)).toMatchObject({
      state: "failed",
      failure: "GONE",
    });
  });
});

/** Of every object, by a client that is set up wrongly. */
const KEPT_BY_KMS =
  "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection.";
/** Word for word. */
const KEYED =
  "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.";
const KEYED_CEPH =
  "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.";
