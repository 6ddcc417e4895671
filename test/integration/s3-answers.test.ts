/** Answers of a store that are cut off on their way, word for word, as no S3 server gives them. */
import { createServer, type Server } from "node:net";
import { test as base, expect } from "vitest";
import { connectS3, createS3Fetch } from "../../src/image/s3.ts";

/** The least that begins and ends as a JPEG does. */
const WHOLE = "\xff\xd8\xff\xd9";
const OK = "200 OK";

const test = base.extend<{
  /**
   * What is fetched of a photo that is answered for so.
   *
   * @param stored bytes that the store has (null: it does not say), which whatever stands before it says only where it is
   * asked for an address of its own.
   */
  answered(answer: string, status?: string, stored?: number | null): Promise<Uint8Array>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  answered: async ({}, use) => {
    const servers: Server[] = [];
    await use(async (answer, status = OK, stored = 4) => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (asked) => {
          const isNew = /^HEAD \S*response-cache-control=/.test(asked.toString("latin1"));
          const given = !isNew ? answer : stored === null ? "\r\n" : `content-length: ${stored}\r\n\r\n`;
          socket.end(
            Buffer.from(
              `HTTP/1.1 ${isNew ? OK : status}\r\nconnection: close\r\netag: "1"\r\n${given}`,
              "latin1",
            ),
          );
        });
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
  ["its length", `content-length: 4\r\n\r\n${WHOLE}`],
  ["pieces", `transfer-encoding: chunked\r\n\r\n4\r\n${WHOLE}\r\n0\r\n\r\n`],
])(
  "an answer that tells its end by %s is read, and nothing else is asked",
  async ([, answer], { answered }) => {
    expect(Buffer.from(await answered(answer!, OK, 8)).toString("latin1")).toBe(WHOLE);
  },
);

test("a photo without its end is read where the store has no more of it", async ({ answered }) => {
  expect(Buffer.from(await answered("content-length: 4\r\n\r\nwhol", OK, 4)).toString()).toBe("whol");
});

test.for([
  ["part of a photo, which a proxy gives for all of it", OK, /^photos\/a.jpg: 4 of 8 bytes came, .*check/],
  ["part of one, of which none tells the size", OK, /^photos\/a.jpg: .* tells no length: check/, null],
  ["part that nobody asked for", "206 Partial Content", /206, which is no whole object/],
] as const)("%s is no photo", async ([, status, message, stored = 8], { answered }) => {
  await expect(answered("content-length: 4\r\n\r\nwhol", status, stored)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringMatching(message),
  });
});

test.for([
  ["that is shorter than its length", "content-length: 8\r\n\r\nwhol", /aborted|of 8 bytes/],
  ["whose last piece is missing", "transfer-encoding: chunked\r\n\r\n4\r\nwhol\r\n", /aborted/],
  // half of a photo is judged where a browser shows it so, and the other half may have people in it
  ["that ends with its connection", "\r\nwhol", /without Content-Length/],
  ["that only says it does not end so", "transfer-encoding: identity\r\n\r\nwhol", /without Content-Length/],
])("an answer %s is no photo", async ([, answer, message], { answered }) => {
  await expect(answered(answer as string)).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringMatching(message as RegExp),
  });
});
