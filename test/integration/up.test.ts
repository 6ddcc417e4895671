import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { expect, inject } from "vitest";
import { test as base } from "../fixtures.ts";
import { maitred } from "../maitred.ts";
import { type Receiver, startReceiver } from "../receiver.ts";

const test = base.extend<{ home: string; s3: string; taken: number; receiver: Receiver }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  home: async ({}, use) => {
    const home = mkdtempSync(join(tmpdir(), "maitred-home-"));
    await use(home);
    rmSync(home, { recursive: true, force: true });
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  s3: async ({}, use) => {
    const server = await startFauxqs({ port: 0, logger: false });
    await use(`http://127.0.0.1:${server.port}`);
    await server.stop();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  taken: async ({}, use) => {
    const server = await occupy(0);
    await use((server.address() as { port: number }).port);
    server.close();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  receiver: async ({}, use) => {
    const receiver = await startReceiver();
    await use(receiver);
    await receiver.close();
  },
});

function occupy(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject).listen(port, "127.0.0.1", () => resolve(server));
  });
}

test("one process takes a photo of S3, judges it, tells of it, and finds the rest of the bucket", async ({
  folder,
  home,
  s3,
  receiver,
}) => {
  const client = new S3Client({ endpoint: s3, region: "us-east-1", forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: "photos" }));
  const Body = readFileSync(join(inject("samples"), "landing-portrait-1.jpg"));
  const { ETag } = await client.send(new PutObjectCommand({ Bucket: "photos", Key: "42/a b.jpg", Body }));
  await client.send(new PutObjectCommand({ Bucket: "photos", Key: "41/old.jpg", Body }));
  client.destroy();

  const env = {
    MAITRED_HOME: home,
    MAITRED_S3_ENDPOINT: s3,
    MAITRED_API_PORT: "0",
    MAITRED_WEBHOOK_ALLOW: "127.0.0.1",
  };
  const up = maitred(["up", folder], env);
  await up.says("the API answers at ");
  const url = /the API answers at (\S+);/.exec(up.stderr())![1]!;
  const created = maitred(["token", "create", "--scopes", "ingest,read", "uploads"], env);
  expect(await created.exit).toBe(0);
  const authorization = `Bearer ${created.stdout().trim()}`;
  expect(await maitred(["destination", "add", "webhook", receiver.url], env).exit).toBe(0);

  await up.says("/desk/#link=");
  const link = /signed in once within the hour: (\S+)/.exec(up.stderr())![1]!;
  expect(link.startsWith(`${url}/desk/#link=`)).toBe(true);
  const signedIn = await fetch(`${url}/desk/api/session`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-maitred-desk": "1" },
    body: JSON.stringify({ link: link.split("=")[1] }),
  });
  expect(await signedIn.json()).toMatchObject({ signedIn: true, roles: ["moderator", "operator"] });

  const told = await fetch(`${url}/v1/photos`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ bucket: "photos", key: "42/a b.jpg", etag: ETag, listing: "42" }),
  });
  expect(told.status).toBe(202);
  const { id } = (await told.json()) as { id: string };
  await up.says("hidden  s3://photos/42/a b.jpg");
  const read = await fetch(`${url}/v1/photos/${id}`, { headers: { authorization } });
  expect(await read.json()).toMatchObject({
    state: "hidden",
    verdict: "hidden",
    public: false,
    listing: "42",
  });
  expect(await (await fetch(`${url}/metrics`)).text()).toContain("maitred_events_total");
  const backfill = maitred(["backfill", "start", "s3://photos/", "--watch"], env);
  expect(await backfill.exit).toBe(0);
  await up.says("hidden  s3://photos/41/old.jpg");
  expect((await receiver.got(2)).map(({ message }) => message)).toMatchObject([
    { type: "photo.verdict", data: { key: "42/a b.jpg", state: "hidden" } },
    { type: "photo.verdict", data: { key: "41/old.jpg", state: "hidden" } },
  ]);

  expect(await maitred(["backfill", "start", "--unchecked", "s3://nowhere/"], env).exit).toBe(0);
  await up.says("the backfill cannot go on and is paused (backfill 2): ");
  expect(up.stderr()).not.toMatch(/"level"|\n +at /);

  up.child.kill("SIGINT");
  expect(await up.exit).toBe(0);
});

test("where the usual port is in use, maitred up takes another one and says which", async ({
  folder,
  home,
}) => {
  // somebody else on this machine may have it already
  const usual = await occupy(7080).catch(() => undefined);
  const up = maitred(["up", folder], { MAITRED_HOME: home });
  await up.says("the API answers at ");
  const url = /the API answers at (\S+);/.exec(up.stderr())![1]!;
  expect(new URL(url).port).not.toBe("7080");
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  up.child.kill("SIGINT");
  expect(await up.exit).toBe(0);
  usual?.close();
});

test("where a port that was asked for is in use, maitred up says so and what to do, and ends with 2", async ({
  folder,
  home,
  taken,
}) => {
  for (const name of ["MAITRED_API_PORT", "MAITRED_PORT"]) {
    const up = maitred(["up", folder], { MAITRED_HOME: home, [name]: String(taken) });
    expect(await up.exit).toBe(2);
    expect(up.stderr()).toContain(
      `${name}: port ${taken} of 127.0.0.1 is in use: end what uses it, or set another`,
    );
  }
}, 60_000);
