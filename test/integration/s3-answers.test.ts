/** Answers of a store that are cut off on their way, word for word, as no S3 server gives them. */
import { createServer, type Server } from "node:net";
import { test as base, expect } from "vitest";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";

const test = base.extend<{ answered(head: string): Promise<Uint8Array> }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  answered: async ({}, use) => {
    const servers: Server[] = [];
    await use(async (answer) => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\netag: "1"\r\n${answer}`));
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      const settings = {
        s3Endpoint: `http://127.0.0.1:${port}`,
        s3Region: "us-east-1",
        s3PathStyle: "on",
      } as const;
      const s3 = connectS3(settings, 1);
      const photo = { store: "s3", bucket: "photos", key: "a.jpg", version: "etag:1" } as const;
      try {
        return (await createS3Fetch(s3)(photo, { maxBytes: 1_000, timeoutMs: 2_000 })).bytes;
      } finally {
        s3.destroy();
      }
    });
    for (const server of servers) server.close();
  },
});

test.for([
  ["its length", "content-length: 4\r\n\r\nwhol"],
  ["pieces", "transfer-encoding: chunked\r\n\r\n4\r\nwhol\r\n0\r\n\r\n"],
])("an answer that tells its end by %s is read", async ([, answer], { answered }) => {
  expect(Buffer.from(await answered(answer!)).toString()).toBe("whol");
});

test.for([
  ["that is shorter than its length", "content-length: 8\r\n\r\nwhol", /aborted|of 8 bytes/],
  ["whose last piece is missing", "transfer-encoding: chunked\r\n\r\n4\r\nwhol\r\n", /aborted/],
  // half of a photo is judged where a browser shows it so, and the other half may have people in it
  ["that ends with its connection", "connection: close\r\n\r\nwhol", /without Content-Length/],
  ["that only says it does not end so", "transfer-encoding: identity\r\n\r\nwhol", /without Content-Length/],
])("an answer %s is no photo", async ([, answer, message], { answered }) => {
  await expect(answered(answer as string)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringMatching(message as RegExp),
  });
});
