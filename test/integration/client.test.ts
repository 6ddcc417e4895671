import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { Webhook } from "standardwebhooks";
import { build } from "vite";
import { describe, expect, expectTypeOf } from "vitest";
import type { z } from "zod";
import type { appeal, photo, taken } from "../../src/http/schemas.ts";
import { createToken } from "../../src/http/tokens.ts";
import {
  ApiError,
  type Appeal,
  createClient,
  type NewPhoto,
  type Photo,
  type Taken,
  verifyWebhook,
  WebhookError,
} from "../../src/index.ts";
import type { newPhoto } from "../../src/intake/photo-list.ts";
import { createLog } from "../../src/log.ts";
import { packageRoot } from "../../src/package-root.ts";
import { createSecret } from "../../src/signature.ts";
import { addToken } from "../../src/store/tokens.ts";
import { startApi } from "../../workers/api.ts";
import { test as base, rows } from "../fixtures.ts";
import { judge } from "../verdicts.ts";

const run = promisify(execFile);

/** A running API, and a token that may tell and ask. */
const test = base.extend<{ api(env?: Record<string, string>): Promise<{ url: string; token: string }> }>({
  api: async ({ configFor, db, scope }, use) => {
    await use(async (env = {}) => {
      const config = configFor("postgres", { MAITRED_API_PORT: "0", ...env });
      const { url } = await startApi(config, createLog("silent"), scope);
      const { id, token, hash } = createToken();
      await addToken(db.pool, { id, name: "app", hash, scopes: ["ingest", "read"] });
      return { url, token };
    });
  },
});

describe("the client", () => {
  test("has the types of the API", () => {
    expectTypeOf<Photo>().toEqualTypeOf<z.infer<typeof photo>>();
    expectTypeOf<Appeal>().toEqualTypeOf<z.infer<typeof appeal>>();
    expectTypeOf<Taken>().toEqualTypeOf<z.infer<typeof taken>>();
    expectTypeOf<NewPhoto>().toExtend<z.input<typeof newPhoto>>();
    expectTypeOf<keyof NewPhoto>().toEqualTypeOf<keyof z.input<typeof newPhoto>>();
  });

  test("enqueues a photo once and reads what became of it, by its id and of its object", async ({
    api,
    db,
  }) => {
    const client = createClient(await api());
    const told = { bucket: "photos", key: "42/Zoë's café + 100%.jpg", etag: "e1", listing: "42" };
    const taken = await client.enqueuePhoto(told);
    expect(taken).toMatchObject({ key: told.key, outcome: "accepted" });
    expect(await client.enqueuePhoto(told)).toEqual({ ...taken, outcome: "known" });
    await judge(db, taken.id!, "shown");
    const read = await client.readPhoto(taken.id!);
    expect(read).toMatchObject({ id: taken.id, state: "shown", public: true, listing: "42" });
    expect(await client.readPhoto({ bucket: "photos", key: told.key })).toEqual(read);
  });

  test("enqueues many in one request, and answers the same for the same key", async ({ api }) => {
    const client = createClient(await api());
    const photos = ["a", "b", "c"].map((key) => ({ bucket: "photos", key }));
    const first = await client.enqueuePhotos(photos, "upload-1");
    expect(first.map(({ key, outcome }) => [key, outcome])).toEqual([
      ["a", "accepted"],
      ["b", "accepted"],
      ["c", "accepted"],
    ]);
    expect(await client.enqueuePhotos(photos, "upload-1")).toEqual(first);
  });

  test("tells that an object was deleted, also while too many uploads wait", async ({ api, db }) => {
    const client = createClient(await api({ MAITRED_QUEUE_LIMIT: "1" }));
    const object = { bucket: "photos", key: "42/Zoë's café + 100%.jpg" };
    const { id } = await client.enqueuePhoto({ ...object, etag: "e1" });
    await judge(db, id!, "shown");
    const told = async (): Promise<unknown> =>
      client.enqueuePhoto({ bucket: "photos", key: "b" }).then(told, (error) => error);
    expect(await told()).toMatchObject({ status: 429 });
    expect(await client.removePhoto(object)).toEqual({ ...object, id, outcome: "removed" });
    expect(await client.readPhoto(id!)).toMatchObject({ current: false, public: false });
    expect(await client.removePhoto(object)).toMatchObject({ outcome: "known" });
    const misspelt = { bucket: "", key: "a" };
    await expect(client.removePhoto(misspelt)).rejects.toMatchObject({ status: 400 });
  });

  test("appeals against a verdict, once, and of a current photo", async ({ api, db }) => {
    const client = createClient(await api());
    const object = { bucket: "photos", key: "a" };
    const id = (await client.enqueuePhoto({ ...object, etag: "e1" })).id!;
    await judge(db, id, "hidden");
    const appeal = await client.appealPhoto(id, { reason: "that is a statue", by: "uploader:77" });
    expect(appeal).toEqual({ id, at: expect.any(String) });
    expect(await client.appealPhoto(id, { reason: "again" })).toEqual(appeal);
    expect(await rows(db, "select reason, by from appeals")).toMatchObject([{ reason: "that is a statue" }]);
    await expect(client.appealPhoto(id, { reason: "" })).rejects.toMatchObject({ status: 400 });
    await client.removePhoto(object);
    expect(await client.appealPhoto(id, { reason: "r" })).toBeUndefined();
  });

  test("knows nothing of a photo that nobody told of", async ({ api }) => {
    const { url, token } = await api();
    const client = createClient({ url, token });
    expect(await client.readPhoto("999")).toBeUndefined();
    expect(await client.readPhoto({ bucket: "photos", key: "none" })).toBeUndefined();
    // an address that is wrong is not told for one
    await expect(createClient({ url: `${url}/v1`, token }).readPhoto("999")).rejects.toMatchObject({
      name: "ApiError",
      status: 404,
      code: undefined,
    });
  });

  test("takes its token as a file ends it, and says none that cannot be one", async ({ api }) => {
    const { url, token } = await api();
    expect(await createClient({ url, token: `${token}\n` }).readPhoto("999")).toBeUndefined();
    for (const wrong of ["", "secret\r\ntoken", "secret token"]) {
      expect(() => createClient({ url, token: wrong })).toThrow(/^token: expected visible ASCII characters$/);
    }
  });

  test("says no address that cannot be one, or that holds a password, which fetch would say", () => {
    for (const wrong of [
      "https://user:hunter2@maitred.example",
      "https://:hunter2@maitred.example",
      "https://user:hunter2@mai tred",
      "user:hunter2@x",
    ]) {
      expect(() => createClient({ url: wrong, token: "mtd_x" })).toThrow(
        /^url: expected an address such as https:\/\/maitred.example, without user and password$/,
      );
    }
  });

  test("says why something was refused, as the API says it", async ({ api }) => {
    const { url, token } = await api();
    const refused = createClient({ url, token: `${token}x` }).readPhoto("1");
    await expect(refused).rejects.toBeInstanceOf(ApiError);
    await expect(refused).rejects.toMatchObject({ status: 401, message: expect.stringContaining("token") });
    const wrong = createClient({ url, token }).enqueuePhoto({ bucket: "photos", key: "" });
    await expect(wrong).rejects.toMatchObject({ status: 400, message: expect.stringContaining("key") });
  });

  test("says when to come again where the API is busy", async ({ api }) => {
    const client = createClient(await api({ MAITRED_QUEUE_LIMIT: "1" }));
    await client.enqueuePhoto({ bucket: "photos", key: "a" });
    // how many wait is looked up once a second
    const busy = expect.objectContaining({ status: 429, retryAfterS: expect.any(Number) });
    const told = async (): Promise<unknown> =>
      client.enqueuePhoto({ bucket: "photos", key: "b" }).then(told, (error) => error);
    expect(await told()).toEqual(busy);
  });

  test("lets nobody in between keep an answer", async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, answer) => {
      asked.push(request.headers["cache-control"]);
      answer.setHeader("content-type", "application/json").end("{}");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = createClient({ url, token: "mtd_x" });
    await client.readPhoto("1");
    await client.enqueuePhoto({ bucket: "photos", key: "a" });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    // as fetch says that its `cache` is "no-store"
    expect(asked).toEqual(["no-cache", "no-cache"]);
  });

  test("takes nothing for an answer that is none of the API, ends early, or does not come", async () => {
    const server = createServer(({ url }, answer) => {
      if (url === "/v1/photos/1") answer.end("<html></html>");
      if (url === "/v1/photos/2")
        answer.writeHead(200, { "content-length": 9 }).write("{}", () => answer.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = createClient({ url, token: "mtd_x" });
    await expect(client.readPhoto("1")).rejects.toMatchObject({ name: "ApiError", status: 200 });
    await expect(client.readPhoto("2")).rejects.toMatchObject({ name: "ApiError", status: 0 });
    const hasty = createClient({ url, token: "mtd_x", timeoutMs: 50 });
    await expect(hasty.readPhoto("3")).rejects.toMatchObject({ name: "ApiError", status: 0 });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test("says that nobody answers, and takes its token to no other address", async ({ api }) => {
    const { url, token } = await api();
    const elsewhere = createServer((_, answer) =>
      answer.writeHead(307, { location: `${url}/v1/photos` }).end(),
    );
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const moved = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
    const photo = { bucket: "photos", key: "a" };
    await expect(createClient({ url: moved, token }).enqueuePhoto(photo)).rejects.toMatchObject({
      status: 307,
    });
    elsewhere.closeAllConnections();
    await new Promise((resolve) => elsewhere.close(resolve));
    const nobody = createClient({ url: moved, token }).enqueuePhoto(photo);
    await expect(nobody).rejects.toMatchObject({
      status: 0,
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });
});

describe("verifyWebhook", () => {
  const secret = createSecret();
  const body = JSON.stringify({ type: "maitred.test", timestamp: "2026-01-02T03:04:05.678Z", data: {} });
  const now = 1_700_000_000_000;
  const signed = (by = secret, at = now): Record<string, string> => ({
    "webhook-id": "msg_1",
    "webhook-timestamp": String(at / 1000),
    "webhook-signature": new Webhook(by).sign("msg_1", new Date(at), body),
  });
  const cut = (headers: Record<string, string>): Record<string, string> => ({
    ...headers,
    "webhook-signature": headers["webhook-signature"]!.slice(0, -1),
  });

  test("takes a secret in the base64 of addresses, too", async () => {
    const bytes = Buffer.alloc(24, 0xfb);
    const headers = signed(`whsec_${bytes.toString("base64")}`);
    const web = `whsec_${bytes.toString("base64url")}`;
    await expect(verifyWebhook(body, headers, web, { now })).resolves.toMatchObject({ type: "maitred.test" });
  });

  test("returns what a message says, whatever form body and headers have", async () => {
    const headers = signed();
    const framework = { get: (name: string) => headers[name] ?? null } as Headers;
    for (const sent of [body, Buffer.from(body), new TextEncoder().encode(body)]) {
      for (const form of [
        headers,
        new Headers(headers),
        framework,
        Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value])),
      ]) {
        expect(await verifyWebhook(sent, form, secret, { now })).toEqual(JSON.parse(body));
      }
    }
  });

  test("takes any of several secrets, and any of several signatures", async () => {
    const other = createSecret();
    expect(await verifyWebhook(body, signed(other), [secret, other], { now })).toBeDefined();
    const both = `v1a,AAAA ${signed(other)["webhook-signature"]} ${signed()["webhook-signature"]}`;
    const twice = { ...signed(), "webhook-signature": both };
    expect(await verifyWebhook(body, twice, secret, { now })).toBeDefined();
  });

  test.for([
    ["another body", `${body} `, signed(), secret],
    ["another secret", body, signed(createSecret()), secret],
    ["another id", body, { ...signed(), "webhook-id": "msg_2" }, secret],
    ["no signature", body, { ...signed(), "webhook-signature": "" }, secret],
    ["a signature of another kind", body, { ...signed(), "webhook-signature": "v2,AAAA" }, secret],
    ["no id", body, { ...signed(), "webhook-id": undefined }, secret],
    ["a time that is none", body, { ...signed(), "webhook-timestamp": "soon" }, secret],
    ["a time that is too old", body, signed(secret, now - 301_000), secret],
    ["a time that is to come", body, signed(secret, now + 301_000), secret],
    ["no secret", body, { ...signed(), "webhook-signature": "v1,AAAA " }, []],
    ["an empty secret", body, signed(), ["whsec_"]],
    ["a secret that is not set", body, signed(), undefined],
    ["a secret that is not set beside one that is", body, signed(), [secret, undefined]],
    ["a body that was parsed", JSON.parse(body), signed(), secret],
    ["a body that was never read", undefined, signed(), secret],
    ["a secret that is no base64", body, signed(), "whsec_%"],
    ["a signature that only begins right", body, cut(signed()), secret],
    [
      "one that goes on",
      body,
      { ...signed(), "webhook-signature": `${signed()["webhook-signature"]}A` },
      secret,
    ],
  ] as const)("refuses %s", async ([, sent, headers, secrets]) => {
    const asked = verifyWebhook(sent, headers, secrets as unknown as string[], { now });
    await expect(asked).rejects.toBeInstanceOf(WebhookError);
  });

  test("takes times as far from now as it is told to", async () => {
    const asked = verifyWebhook(body, signed(secret, now - 500_000), secret, { now, toleranceS: 600 });
    expect(await asked).toBeDefined();
  });

  test("needs nothing of Node, so that it runs at the edge", async () => {
    const built = await build({
      root: packageRoot(),
      configFile: false,
      logLevel: "silent",
      build: {
        write: false,
        minify: true,
        lib: { entry: "src/index.ts", formats: ["iife"], name: "client" },
      },
    });
    const code = [built].flat().flatMap((one) => ("output" in one ? one.output : []))[0]!;
    const edge = {
      AbortSignal,
      crypto,
      fetch,
      Headers,
      TextDecoder,
      TextEncoder,
      URL,
      URLSearchParams,
      atob,
      btoa,
    };
    const context: Record<string, unknown> = createContext({
      ...edge,
      body,
      headers: new Headers(signed()),
      secret,
      now,
    });
    runInContext((code as { code: string }).code, context);
    const verified = runInContext("client.verifyWebhook(body, headers, secret, { now })", context);
    expect(await verified).toEqual(JSON.parse(body));
    const refused = runInContext("client.verifyWebhook(body, headers, 'whsec_AAAA', { now })", context);
    await expect(refused).rejects.toMatchObject({ name: "WebhookError" });
    runInContext("client.createClient({ url: 'https://maitred.example', token: 'mtd_x' })", context);
  });
});

test("the package for applications can be imported, and its types and the examples are checked", async ({
  folder,
  api,
}) => {
  const { url, token } = await api();
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "maitred"), { recursive: true });
  await run(process.execPath, [join(packageRoot(), "bin", "pack-client.js")], { cwd: folder });
  const packed = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  // bundlers know what they have built by the version of its package
  expect(packed).toMatch(/^maitred-\d+\.\d+\.\d+-c[0-9a-f]{12}\.tgz$/);
  await run("tar", ["-xzf", packed, "-C", join(modules, "maitred"), "--strip-components", "1"], {
    cwd: folder,
  });
  // what the examples import besides
  for (const name of ["@aws-sdk", "@types", "pg"])
    symlinkSync(join(packageRoot(), "node_modules", name), join(modules, name));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(
    join(folder, "app.ts"),
    `import { ApiError, createClient, verifyWebhook, type Photo } from "maitred";
const client = createClient({ url: process.argv[2] ?? "", token: process.argv[3] ?? "" });
const taken = await client.enqueuePhoto({ bucket: "photos", key: "a" });
const photo: Photo | undefined = await client.readPhoto(taken.id ?? "");
// @ts-expect-error: no such field
await client.enqueuePhoto({ bucket: "photos", name: "a" }).catch((error: ApiError) => console.log(error.status));
const message = () => verifyWebhook("", {}, "");
type Kind = Awaited<ReturnType<typeof message>>["type"];
const kind: Kind = "photo.forgotten";
console.log(photo?.state, kind);
`,
  );
  const examples = ["effects.md", "show.md", "intake.md"].flatMap((name) => {
    const page = readFileSync(join(packageRoot(), "docs", name), "utf8");
    const given = OF_EXAMPLES + (name === "intake.md" ? OF_INTAKE : "");
    return Array.from(page.matchAll(/^```ts\n(.*?)^```$/gms), ([, example]) => given + example);
  });
  const files = examples.map((example, n) => {
    writeFileSync(join(folder, `example${n}.ts`), example);
    return `example${n}.ts`;
  });
  expect(files).toHaveLength(7);
  writeFileSync(join(folder, "next.d.ts"), OF_NEXT);
  const typeRoots = join(packageRoot(), "node_modules", "@types");
  const tsc = join(packageRoot(), "node_modules", "typescript", "bin", "tsc");
  const strict = "--outDir out --strict --exactOptionalPropertyTypes --target es2023 --types node".split(" ");
  for (const resolution of ["--module nodenext", "--module preserve --moduleResolution bundler"]) {
    const flags = [...strict, ...resolution.split(" "), "--typeRoots", typeRoots];
    await run(process.execPath, [tsc, ...flags, "app.ts", "next.d.ts", ...files], { cwd: folder }).catch(
      ({ stdout }) => expect(stdout).toBe(""),
    );
  }
  const { stdout } = await run(process.execPath, [join(folder, "out", "app.js"), url, token]);
  expect(stdout).toBe("400\npending photo.forgotten\n");
});

const OF_NEXT = `declare module "next/cache" {
  export function cacheLife(profile: string): void;
  export function cacheTag(...tags: string[]): void;
  export function revalidateTag(tag: string, profile: string | { expire?: number }): undefined;
}
`;

const OF_INTAKE = `import type { S3Client } from "@aws-sdk/client-s3";
import type { Client } from "maitred";
declare const s3: S3Client, maitred: Client, key: string;
`;

/** What the examples take for granted. */
const OF_EXAMPLES = `import type { IncomingHttpHeaders } from "node:http";
import type { PutObjectCommandOutput } from "@aws-sdk/client-s3";
import type { ChangedPhoto } from "maitred";
declare const express: { raw(options: { type: string }): unknown };
declare const app: {
  post(
    path: string,
    raw: unknown,
    handle: (request: { body: any; headers: IncomingHttpHeaders }, response: { sendStatus(code: number): void }) => unknown,
  ): void;
};
declare const uploaded: PutObjectCommandOutput;
declare function erasePhoto(id: string): Promise<void>;
declare function keepIfNewer(photo: ChangedPhoto): Promise<void>;
`;
