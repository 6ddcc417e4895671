import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import fastify from "fastify";
import { expect } from "vitest";
import type { Access } from "../../src/http/desk/access.ts";
import { serveLive } from "../../src/http/desk/live.ts";
import type { OperateDeps } from "../../src/http/desk/operate-deps.ts";
import { servePage } from "../../src/http/desk/page.ts";
import { judged, test } from "../desk.ts";

test("the built page is served as it is, and its addresses are all its own", async ({ folder }) => {
  const app = fastify();
  servePage(app, folder);
  expect(await app.inject("/desk/")).toMatchObject({ statusCode: 503 });
  mkdirSync(join(folder, "assets"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>desk</title>");
  writeFileSync(join(folder, "icon.svg"), "<svg/>");
  writeFileSync(join(folder, "assets/main-1a2b.js"), "let a;");
  writeFileSync(join(folder, ".secret"), "x");

  for (const path of [
    "/desk/",
    "/desk/review",
    "/desk/photos/12?x=1",
    "/desk/nothing.svg",
    "/desk/.secret",
  ]) {
    const page = await app.inject(path);
    expect(page.body, path).toContain("<title>desk");
    expect(page.headers, path).toMatchObject({ "cache-control": "no-cache" });
    expect(page.headers["content-type"]).toMatch(/^text\/html/);
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|http|\*/);
  }
  expect(await app.inject("/desk/icon.svg")).toMatchObject({ body: "<svg/>" });
  const asset = await app.inject("/desk/assets/main-1a2b.js");
  expect(asset.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
  expect(asset.headers["content-type"]).toMatch(/javascript/);
  for (const path of [
    "/desk/assets/gone.js",
    "/desk/assets/..%2f..%2fetc%2fpasswd",
    "/desk/assets/../.secret",
  ]) {
    const { statusCode, body } = await app.inject(path);
    expect([statusCode === 200 && !body.includes("<title>"), body === "x"], path).toEqual([false, false]);
  }
  expect((await app.inject("/desk/assets/gone.js")).headers["cache-control"] ?? "").not.toMatch(
    /immutable|max-age/,
  );
  expect((await app.inject("/desk")).headers["location"]).toBe("/desk/");
  const browser = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
  expect((await app.inject({ url: "/", headers: browser })).headers["location"]).toBe("/desk/");
  expect(await app.inject("/")).toMatchObject({ statusCode: 404 });
  // a build came
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>built anew</title>");
  expect((await app.inject("/desk/")).body).toContain("built anew");
  await app.close();
});

test("whoever asks for files and leaves without them leaves none open", async ({ folder }) => {
  mkdirSync(join(folder, "assets"));
  // more than lies between two ends of a connection
  writeFileSync(join(folder, "assets/main-1a2b.js"), Buffer.alloc(20_000_000));
  const app = fastify();
  let [asked, allAsked] = [0, () => {}];
  app.addHook("onSend", async () => {
    if (++asked === 10) allAsked();
  });
  servePage(app, folder);
  await app.listen();
  const { port } = app.server.address() as AddressInfo;
  const left = new Promise((resolve) => {
    app.server.once("connection", (socket) => socket.once("close", resolve));
  });
  const all = new Promise<void>((resolve) => {
    allAsked = resolve;
  });
  const openFiles = () => readdirSync("/dev/fd").length;
  const before = openFiles();
  const request = "GET /desk/assets/main-1a2b.js HTTP/1.1\r\nHost: x\r\n\r\n";
  const socket = connect(port, "127.0.0.1", () => socket.write(request.repeat(10)));
  socket.pause();
  await all;
  await once(socket.destroy(), "close");
  await left;
  await expect.poll(openFiles).toBe(before);
  await app.close();
});

test("every answer of the desk is nothing but what it says it is, and stays where it is", async ({
  openDesk,
}) => {
  const desk = await openDesk();
  const { headers } = await desk.ask("GET", "/desk/api/session");
  expect(Object.fromEntries(headers)).toMatchObject({
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
  });
  expect((await desk.ask("GET", "/desk/api/nothing")).status).toBe(404);
});

test("whoever leaves before the first answer is not kept, and keeps nobody else out", async () => {
  const app = fastify();
  let [asked, left] = [0, 0];
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let [allAsked, allLeft] = [() => {}, () => {}];
  const session = { id: "0123456789ab", secret: "", subject: "link:ann", name: "ann", roles: [], endsAt: "" };
  const access = { require: async () => session } as unknown as Access;
  serveLive(app, access, {
    // a database that is slow
    async counts() {
      if (++asked === MANY) allAsked();
      await answered;
      return { kinds: {}, held: 0, moderators: 0 };
    },
    operate: {} as OperateDeps,
    access: { findSession: async () => undefined },
    failed: (error) => expect.unreachable(error.message),
  });
  await app.listen();
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/desk/api/live`;
  app.server.on("connection", (socket) => socket.once("close", () => ++left === MANY && allLeft()));
  const leave = new AbortController();
  await Promise.all([
    new Promise<void>((resolve) => {
      allAsked = () => {
        leave.abort();
        resolve();
      };
    }),
    new Promise<void>((resolve) => {
      allLeft = resolve;
    }),
    ...Array.from({ length: MANY }, () => fetch(url, { signal: leave.signal }).catch(() => {})),
  ]);
  answer();
  const stay = new AbortController();
  const { status } = await fetch(url, { signal: stay.signal });
  expect(status).toBe(200);
  stay.abort();
  await app.close();
});

test("a page hears how many photos wait, hears it again when that changes, and when its session ends", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "0" });
  const ann = await desk.signIn("ann", "review");
  await judged(db, [{}]);
  const leave = new AbortController();
  const { status, headers, body } = await fetch(`${desk.url}/desk/api/live`, {
    headers: { cookie: ann.cookie },
    signal: leave.signal,
  });
  expect(status).toBe(200);
  expect(headers.get("content-type")).toBe("text/event-stream");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  let heard = "";
  const hear = async (text: string): Promise<void> => {
    while (!heard.includes(text)) {
      const { value, done } = await reader.read();
      expect(done, `${text} in ${heard}`).toBe(false);
      heard += value;
    }
    heard = heard.slice(heard.indexOf(text));
  };
  await hear('"human":1');
  await judged(db, [{ key: "a" }, { key: "b" }]);
  await hear('"human":3');
  await ann.ask("DELETE", "/desk/api/session");
  await hear("event: end");
  expect((await reader.read()).done).toBe(true);
  leave.abort();
  expect((await desk.ask("GET", "/desk/api/live")).status).toBe(401);
});

/** As many pages as a process serves. */
const MANY = 500;
