import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { rows, test } from "../fixtures.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { judge, register } from "../verdicts.ts";

let moto: Awaited<ReturnType<typeof startMoto>>;
let s3: S3Client;

/** The route of docs/show.md, in a process of its own, as in an application that copied it. */
describe.skipIf(!HAS_MOTO)("the route that shows photos", () => {
  beforeAll(async () => {
    moto = await startMoto();
    s3 = new S3Client({ endpoint: moto.url, region: "us-east-1", forcePathStyle: true });
    await s3.send(new CreateBucketCommand({ Bucket: "photos" }));
  });
  afterAll(async () => {
    s3.destroy();
    await moto.stop();
  });

  test("goes on after requests whose bodies nobody reads, and after its connections to Postgres broke", async ({
    db,
    folder,
  }) => {
    // more than fits between two sockets
    const Body = randomBytes(8_000_000);
    const { ETag } = await s3.send(new PutObjectCommand({ Bucket: "photos", Key: "a", Body }));
    const shown = await register(db, "a", `etag:${ETag!.replaceAll('"', "")}`);
    const other = await register(db, "b", "etag:1");
    for (const id of [shown, other]) await judge(db, id, "shown");
    const hidden = await register(db, "c", "etag:1");
    await judge(db, hidden, "hidden");
    const said = await run(
      folder,
      db.url,
      `const ask = async (id, method = "GET") => {
  // as Next.js does where a route has no HEAD
  const answer = await (method === "HEAD" && route.HEAD ? route.HEAD : route.GET)(
    new Request("http://x/", { method }), { params: Promise.resolve({ id }) });
  return method === "HEAD" ? answer.status : [answer.status, (await answer.arrayBuffer()).byteLength];
};
const { default: pg } = await import("pg");
const admin = new pg.Client(process.env.DASHBOARD_URL);
await admin.connect();
const found = [await ask("${shown}"), await ask("${other}"), await ask("${hidden}"), await ask("1 or true")];
// the route says so once its pool has lost a connection
const heard = new Promise((resolve) => { console.error = resolve; });
await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like '%public_photos%'");
await admin.end();
await heard;
for (let n = 0; n < 60; n++) await ask("${shown}", "HEAD");
console.log(JSON.stringify([...found, await ask("${shown}")]));
process.exit();`,
    );
    const there = [200, Body.length];
    expect(JSON.parse(said)).toEqual([there, [404, 0], [404, 0], [404, 0], there]);
    expect(await rows(db, "select count(*)::int from public_photos")).toEqual([{ count: 2 }]);
  });
});

async function run(folder: string, url: string, script: string): Promise<string> {
  symlinkSync(join(packageRoot(), "node_modules"), join(folder, "node_modules"));
  const page = readFileSync(join(packageRoot(), "docs", "show.md"), "utf8");
  const route = /^```ts\n(\/\/ app\/photos.*?)^```$/ms.exec(page)![1]!;
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "route.ts"), route);
  mkdirSync(join(folder, "out"));
  const tsc = join(packageRoot(), "node_modules", "typescript", "bin", "tsc");
  const flags = "--outDir out --module nodenext --target es2023 --types node route.ts".split(" ");
  await promisify(execFile)(process.execPath, [tsc, ...flags], { cwd: folder });
  writeFileSync(join(folder, "ask.js"), `const route = await import("./out/route.js");\n${script}`);
  const env = { ...process.env, AWS_ENDPOINT_URL: moto.url, AWS_REGION: "us-east-1", DASHBOARD_URL: url };
  const { stdout } = await promisify(execFile)(process.execPath, ["ask.js"], {
    cwd: folder,
    env,
    timeout: 60_000,
  });
  return stdout;
}
