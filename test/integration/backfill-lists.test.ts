import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect } from "vitest";
import { connectS3, openObject } from "../../src/image/s3.ts";
import { listAfter } from "../../src/image/s3-bucket.ts";
import { createLog } from "../../src/log.ts";
import { addBackfill, changeBackfill, readBackfill } from "../../src/store/backfills.ts";
import { startFeed } from "../../workers/feed.ts";
import { startArchive } from "../backfills.ts";
import { BACKENDS, test } from "../fixtures.ts";
import type { TestS3 } from "../s3.ts";
import { ofAll } from "../verdicts.ts";

let s3: TestS3;
beforeAll(async () => {
  s3 = await startArchive();
});
afterAll(() => s3.stop());

test("a list of which no record names a photo, and an inventory's damaged file, end paused with why", async ({
  db,
  configFor,
  scope,
}) => {
  await s3.put("useless.csv", "key\n1.jpg\n");
  await s3.put("damaged/1.csv", '"archive","1.jpg"\n');
  const inventory = {
    destinationBucket: "arn:aws:s3:::archive",
    fileFormat: "CSV",
    fileSchema: "Bucket, Key",
    files: [{ key: "damaged/1.csv", MD5checksum: "0".repeat(32) }],
  };
  await s3.put("damaged/manifest.json", JSON.stringify(inventory));
  const starts = (key: string) =>
    addBackfill(db.pool, { ...ofAll, what: { kind: "manifest", at: `s3://archive/${key}` } });
  const runs = [await starts("useless.csv"), await starts("damaged/manifest.json")];
  const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address });
  await startFeed(config, createLog("silent"), scope);
  const states = () => Promise.all(runs.map(async (id) => (await readBackfill(db.pool, id))!.state));
  await expect.poll(states, { timeout: 20_000 }).toEqual(["paused", "paused"]);
  expect(await readBackfill(db.pool, runs[0]!)).toMatchObject({
    why: expect.stringMatching(
      /^CONFIG_INVALID: .*useless\.csv: none of its 1 records names a photo: record 1/,
    ),
  });
  expect(await readBackfill(db.pool, runs[1]!)).toMatchObject({
    fed: 0,
    why: expect.stringMatching(/^CONFIG_INVALID: .*damaged\/1\.csv: expected the MD5/),
  });
}, 40_000);

test("a store that takes requests and never answers is away, like one that takes none", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const s3Endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1, 1, 100);
  const away = { code: "STORE_UNAVAILABLE", message: expect.stringContaining("100 ms") };
  await expect(listAfter(through, "archive", "", "", 1)).rejects.toMatchObject(away);
  await expect(openObject(through, "archive", "list.csv")).rejects.toMatchObject(away);
  through.destroy();
  silent.closeAllConnections();
  silent.close();
}, 10_000);

test("a store that stops in the middle of a page of its own list is away", async () => {
  const stalling = createServer((_request, response) => {
    response.writeHead(200, { "content-length": 500 }).write("<ListBucketResult>");
  }).listen(0, "127.0.0.1");
  await once(stalling, "listening");
  const s3Endpoint = `http://127.0.0.1:${(stalling.address() as AddressInfo).port}`;
  const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1, 1, 1_000);
  await expect(listAfter(through, "archive", "2019/", "", 1, 100)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: "archive/2019/: no whole page of its list came within 200 ms",
  });
  through.destroy();
  stalling.closeAllConnections();
  stalling.close();
}, 10_000);

test("a store that stops in the middle of a list is away, and holds no connection", async () => {
  const half = "bucket,key\n".padEnd(200_000, "archive,1.jpg\n");
  const stalling = createServer((request, response) => {
    const whole = request.url!.includes("whole");
    response.writeHead(200, { "content-length": whole ? half.length : 2 * half.length });
    if (whole) response.end(half);
    else response.write(half);
  }).listen(0, "127.0.0.1");
  await once(stalling, "listening");
  const s3Endpoint = `http://127.0.0.1:${(stalling.address() as AddressInfo).port}`;
  const through = connectS3({ s3Endpoint, s3Region: "us-east-1", s3PathStyle: "auto" }, 1);
  const read = async (key: string, waitMs?: number) =>
    Buffer.concat(await (await openObject(through, "archive", key, waitMs)).toArray()).toString();
  await expect(read("stalls.csv", 100)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: "archive/stalls.csv: no more of it came within 100 ms",
  });
  expect(await read("whole.csv")).toBe(half);
  (await openObject(through, "archive", "stalls.csv")).destroy();
  expect(await read("whole.csv")).toBe(half);
  through.destroy();
  stalling.closeAllConnections();
  stalling.close();
}, 20_000);

test("a list in a bucket is fed however often its run was paused and resumed before it was read to its end", async ({
  db,
  configFor,
  scope,
}) => {
  await s3.put("long.csv", `bucket,key\n${"archive,there.jpg\n".repeat(400_000)}`);
  const id = await addBackfill(db.pool, {
    ...ofAll,
    maxRate: 1,
    what: { kind: "manifest", at: "s3://archive/long.csv" },
  });
  const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address });
  await startFeed(config, createLog("silent"), scope);
  const seen = async () => (await readBackfill(db.pool, id))!.seen;
  // its photo is fed once and skipped then, which takes no time of its rate
  for (let times = 0; times < 6; times++) {
    const before = await seen();
    await expect.poll(seen, { timeout: 10_000 }).toBeGreaterThan(before);
    await changeBackfill(db.pool, id, "paused", "ada", "lunch");
    // the feeder has seen that, once it feeds something else
    const other = await addBackfill(db.pool, {
      ...ofAll,
      what: { kind: "prefix", bucket: "archive", prefix: "no/" },
    });
    await expect
      .poll(async () => (await readBackfill(db.pool, other))!.state, { timeout: 10_000 })
      .toBe("done");
    await changeBackfill(db.pool, id, "running", "ada", "");
  }
}, 120_000);
