import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, inject } from "vitest";
import { z } from "zod";
import { heat } from "../../src/http/desk/schemas.ts";
import { packageRoot } from "../../src/package-root.ts";
import { openExplainer } from "../../src/wiring/explain.ts";
import { test as base, type Judged, judged, type Person } from "../desk.ts";
import type { Database } from "../fixtures.ts";
import { makeModel } from "../models.ts";
import { colourGraph } from "../onnx.ts";
import { paint } from "../painted.ts";
import { startS3, type TestS3 } from "../s3.ts";

type Links = Record<"small" | "medium" | "large" | "heat", string>;

const test = base.extend<{ s3: TestS3 }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  s3: async ({}, use) => {
    const s3 = await startS3("photos");
    await use(s3);
    await s3.stop();
  },
});

/** Photos whose version is whatever is there now. */
async function photos(db: Database, ...which: Judged[]): Promise<string[]> {
  const ids = await judged(db, which);
  await db.pool.query("update photos set version = '' where id = any($1)", [ids]);
  return ids;
}

const linksOf = async (person: Person, id: string | undefined): Promise<Links> =>
  (await person.ask("GET", `/desk/api/photos/${id}`)).body.links;

test("a photo of S3 comes small, upright, and with nothing of its EXIF", async ({ openDesk, db, s3 }) => {
  const desk = await openDesk({ MAITRED_S3_ENDPOINT: s3.address });
  const body = await sharp({ create: { width: 2_000, height: 1_000, channels: 3, background: "teal" } })
    .withExif({ IFD0: { Copyright: "ann", Make: "camera" }, IFD3: { GPSLatitudeRef: "N" } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  expect((await sharp(body).metadata()).exif).toBeDefined();
  await s3.put("42/0.jpg", body);
  const [id] = await photos(db, {});
  const ann = await desk.signIn("ann", "review");
  const links = await linksOf(ann, id);
  for (const [size, width, height] of [
    ["small", 160, 320],
    ["medium", 320, 640],
    ["large", 800, 1_600],
  ] as const) {
    const answer = await ann.ask("GET", links[size]);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("image/jpeg");
    expect(answer.headers.get("cache-control")).toBe("private, no-cache");
    const { exif, icc, xmp, orientation, ...about } = await sharp(answer.body).metadata();
    expect(about).toMatchObject({ width, height, format: "jpeg" });
    expect({ exif, icc, xmp, orientation }).toEqual({});
  }
});

test("a photo of a folder comes too, and HEIC as a JPEG", async ({ openDesk, db, folder }) => {
  const desk = await openDesk({ MAITRED_FOLDERS: folder });
  copyFileSync(join(packageRoot(), "test/photos/menu.heic"), join(folder, "0.heic"));
  const [id] = await photos(db, { key: "0.heic" });
  await db.pool.query("update photos set store = 'folder', bucket = $1", [folder]);
  const ann = await desk.signIn("ann", "review");
  const { status, body } = await ann.ask("GET", (await linksOf(ann, id)).small);
  expect(status).toBe(200);
  const { format, width, height } = await sharp(body).metadata();
  expect([format, Math.max(width, height)]).toEqual(["jpeg", 320]);
});

test("a link opens nothing in another session, for another photo or size, or later", async ({
  openDesk,
  db,
  folder,
}) => {
  const desk = await openDesk({ MAITRED_FOLDERS: folder });
  const [id, other] = await photos(db, {}, {});
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const { small } = await linksOf(ann, id);
  const status = async (person: Pick<Person, "ask">, link: string) => (await person.ask("GET", link)).status;
  // neither store has it, which is told only where the link is good
  expect(await status(ann, small)).not.toBe(403);
  expect(await status(bob, small)).toBe(403);
  expect(await status(desk, small)).toBe(401);
  expect(await status(ann, small.replace("/small", "/large"))).toBe(403);
  expect(await status(ann, small.replace(`/${id}/`, `/${other}/`))).toBe(403);
  const [, until] = /until=(\d+)/.exec(small)!;
  const leftS = Number(until) - Date.now() / 1_000;
  expect(leftS).toBeGreaterThan(290);
  expect(leftS).toBeLessThanOrEqual(600);
  expect(await status(ann, small.replace(until!, String(Number(until) + 300)))).toBe(403);
  expect((await linksOf(ann, id)).small).toBe(small);
});

test("a browser that has a picture is told that it may show it, without it being made again, while its session holds", async ({
  openDesk,
  db,
  s3,
}) => {
  const desk = await openDesk({ MAITRED_S3_ENDPOINT: s3.address });
  const photo = { create: { width: 40, height: 30, channels: 3, background: "teal" } } as const;
  await s3.put("42/0.jpg", await sharp(photo).jpeg().toBuffer());
  const [id] = await photos(db, {});
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const { small, medium } = await linksOf(ann, id);
  const etag = (await ann.ask("GET", small)).headers.get("etag")!;
  const has = (person: Pick<Person, "ask">, link = small, etags = etag) =>
    person.ask("GET", link, undefined, { "if-none-match": etags });
  // as a proxy that compresses has it
  for (const etags of [etag, `W/${etag}`, `"another", ${etag}`]) {
    const { status, headers, body } = await has(ann, small, etags);
    expect([status, body.length]).toEqual([304, 0]);
    // in place of what the browser has been told before
    const kept = ["cache-control", "vary", "etag"].map((name) => headers.get(name));
    expect(kept).toEqual(["private, no-cache", "cookie", etag]);
  }
  expect((await has(ann, medium)).status).toBe(200);
  await s3.put("42/0.jpg", Buffer.from("no photo"));
  expect((await has(ann)).status).toBe(304);
  expect((await has(ann, small, '"another"')).status).toBe(422);
  expect((await has(bob)).status).toBe(403);
  await ann.ask("DELETE", "/desk/api/session");
  const ended = await has(ann);
  expect([ended.status, ended.headers.get("cache-control")]).toEqual([401, "no-store"]);
});

test("a verdict makes another link, so that no browser shows the bytes of before beside it", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await photos(db, {});
  const ann = await desk.signIn("ann", "review");
  const { small } = await linksOf(ann, id);
  await db.pool.query("select record_review($1, 'bob', 'hidden', null, true)", [id]);
  const [before, after] = [small, (await linksOf(ann, id)).small].map((link) => new URL(link, desk.url));
  expect(after!.searchParams.get("until")).toBe(before!.searchParams.get("until"));
  expect(after!.searchParams.get("sign")).not.toBe(before!.searchParams.get("sign"));
  before!.searchParams.set("asOf", after!.searchParams.get("asOf")!);
  expect((await ann.ask("GET", before!.pathname + before!.search)).status).toBe(403);
});

test("what cannot be had or read says why, and so does a store that is away", async ({
  openDesk,
  db,
  s3,
}) => {
  const desk = await openDesk({ MAITRED_S3_ENDPOINT: s3.address });
  await s3.put("42/1.jpg", Buffer.from("no photo"));
  const [gone, broken] = await photos(db, {}, {});
  const ann = await desk.signIn("ann", "review");
  const missing = await ann.ask("GET", (await linksOf(ann, gone)).small);
  expect(missing).toMatchObject({ status: 404, body: { detail: expect.stringContaining("GONE") } });
  const corrupt = await ann.ask("GET", (await linksOf(ann, broken)).small);
  expect(corrupt).toMatchObject({
    status: 422,
    body: { detail: expect.stringContaining("UNSUPPORTED_FORMAT") },
  });

  const away = await openDesk({ MAITRED_S3_ENDPOINT: "http://127.0.0.1:1" });
  const bob = await away.signIn("bob", "review");
  const answer = await bob.ask("GET", (await linksOf(bob, gone)).small);
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(answer.body.detail).toMatch(/^STORE_UNAVAILABLE: photos\/42\/0.jpg: /);

  await db.pool.query("update photos set bucket = 'nowhere' where id = $1", [gone]);
  const nowhere = await ann.ask("GET", (await linksOf(ann, gone)).small);
  // as the photo's own failure has it
  expect(nowhere).toMatchObject({
    status: 503,
    body: {
      detail: "STORE_UNAVAILABLE: nowhere/42/0.jpg: NoSuchBucket: check the bucket and MAITRED_S3_ENDPOINT",
    },
  });
});

/** A model that says where it sees light. */
const eyes = (folder: string): string =>
  makeModel(join(folder, "models"), "eyes-1", { files: { "model.onnx": colourGraph(64) } });

test("the heat map is told by its cells, which are highest where a human is, in a few kilobytes", async ({
  openDesk,
  db,
  folder,
}) => {
  const desk = await openDesk({ MAITRED_FOLDERS: folder, MAITRED_MODEL: eyes(folder) });
  const spots = [
    { x: 0.25, y: 0.75 },
    { x: 0.75, y: 0.5 },
  ];
  for (const [n, spot] of spots.entries()) {
    await paint(folder, { file: `${n}.png`, colour: [90, 30, 20], light: { ...spot, bright: 0.9 } });
  }
  const ids = await photos(db, { key: "0.png" }, { key: "1.png" });
  await db.pool.query("update photos set store = 'folder', bucket = $1", [folder]);
  const ann = await desk.signIn("ann", "review");
  for (const [n, spot] of spots.entries()) {
    const { heat: link } = await linksOf(ann, ids[n]);
    const { status, headers, body } = await ann.ask("GET", link);
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("private, no-cache");
    expect(Number(headers.get("content-length"))).toBeLessThan(3_000);
    const { human, peak, clear, width, height, values } = z.strictObject(heat.shape).parse(body);
    expect(human).toBeCloseTo(0.9, 1);
    expect(clear).toBe(true);
    expect([width, height, values.length]).toEqual([8, 8, 64]);
    // the spot spans two cells
    for (const axis of ["x", "y"] as const) expect(Math.abs(peak[axis] - spot[axis])).toBeLessThan(0.125);
    const cell = Math.floor(peak.y * height) * width + Math.floor(peak.x * width);
    expect(values[cell]).toBe(Math.max(...values));
    expect(values.filter((value) => value > 0.5)).toHaveLength(4);
    // in another session, or for another photo
    expect((await (await desk.signIn(`bob-${n}`, "review")).ask("GET", link)).status).toBe(403);
    expect((await ann.ask("GET", link.replace(`/${ids[n]}/`, `/${ids[1 - n]}/`))).status).toBe(403);
  }
});

test("of an animation the picture shows every frame that is judged, and the heat map lies on it", async ({
  openDesk,
  db,
  folder,
}) => {
  const desk = await openDesk({ MAITRED_FOLDERS: folder, MAITRED_MODEL: eyes(folder) });
  const colours = [
    [90, 0, 0],
    [0, 90, 0],
    [0, 0, 90],
  ] as const;
  for (const [n, colour] of colours.entries()) {
    await paint(folder, {
      file: `${n}.png`,
      colour,
      ...(n === 2 && { light: { x: 0.5, y: 0.5, bright: 0.9 } }),
    });
  }
  const frames = colours.map((_, n) => readFileSync(join(folder, `${n}.png`)));
  const animated = sharp(frames, { join: { animated: true } }).webp({ lossless: true });
  writeFileSync(join(folder, "a.webp"), await animated.toBuffer());
  const [id] = await photos(db, { key: "a.webp" });
  await db.pool.query("update photos set store = 'folder', bucket = $1", [folder]);
  const ann = await desk.signIn("ann", "review");
  const links = await linksOf(ann, id);
  const { data, info } = await sharp((await ann.ask("GET", links.medium)).body)
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([512, 512]);
  const at = (x: number, y: number) => {
    const start = (Math.floor(y * info.height) * info.width + Math.floor(x * info.width)) * 3;
    return [...data.subarray(start, start + 3)].map((value) => (value > 45 ? 1 : 0));
  };
  expect([at(0.05, 0.05), at(0.95, 0.05), at(0.05, 0.95), at(0.95, 0.95)]).toEqual([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [1, 1, 1],
  ]);
  const { human, peak, width, height, values } = z
    .strictObject(heat.shape)
    .parse((await ann.ask("GET", links.heat)).body);
  expect(human).toBeCloseTo(0.9, 1);
  expect([width, height, values.length]).toEqual([16, 16, 256]);
  expect(Math.hypot(peak.x - 0.25, peak.y - 0.75)).toBeLessThan(0.1);
});

test("of a long photo the picture shows the parts too, and of a transparent one what is on black, and the heat map lies on them", async ({
  openDesk,
  db,
  folder,
}) => {
  const desk = await openDesk({ MAITRED_FOLDERS: folder, MAITRED_MODEL: eyes(folder) });
  const light = { create: { width: 50, height: 50, channels: 3, background: "white" } } as const;
  const dark = (width: number, channels: 3 | 4, background: string) =>
    sharp({ create: { width, height: 200, channels, background } });
  // in the whole, which is squashed to a square, the light is thinner than a cell of the map
  await dark(1_200, 3, "#5a1e14")
    .composite([{ input: light, left: 1_055, top: 75 }])
    .toFile(join(folder, "0.png"));
  // brighter where it is seen through
  await dark(400, 4, "#5a1e14")
    .composite([{ input: light, blend: "dest-out", left: 300, top: 75 }])
    .toFile(join(folder, "1.png"));
  const ids = await photos(db, { key: "0.png" }, { key: "1.png" });
  await db.pool.query("update photos set store = 'folder', bucket = $1", [folder]);
  const ann = await desk.signIn("ann", "review");
  for (const [n, { size, cells, spot }] of [
    // whole, four parts and a place that is empty, each a third of the way across
    { size: [639, 214], cells: [24, 16], spot: { x: 1.7 / 3, y: 1.5 / 2 } },
    { size: [640, 160], cells: [16, 8], spot: { x: 0.406, y: 0.5 } },
  ].entries()) {
    const links = await linksOf(ann, ids[n]);
    const { data, info } = await sharp((await ann.ask("GET", links.medium)).body)
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { human, peak, width, height } = z
      .strictObject(heat.shape)
      .parse((await ann.ask("GET", links.heat)).body);
    expect(human).toBeGreaterThan(0.8);
    expect([info.width, info.height, width, height]).toEqual([...size, ...cells]);
    expect(Math.hypot(peak.x - spot.x, peak.y - spot.y)).toBeLessThan(0.07);
    const [column, row] = [Math.floor(peak.x * info.width), Math.floor(peak.y * info.height)];
    expect(data[(row * info.width + column) * 3 + 2]).toBeGreaterThan(200);
  }
});

test("of a photo that cannot be read the heat map says why, and so does a model that does not say where", async ({
  openDesk,
  db,
  folder,
}) => {
  writeFileSync(join(folder, "0.jpg"), "no photo");
  const blind = makeModel(join(folder, "models"), "blind-1");
  const [id] = await photos(db, { key: "0.jpg" });
  await db.pool.query("update photos set store = 'folder', bucket = $1", [folder]);
  const heatFor = async (name: string, env: Record<string, string>) => {
    const person = await (await openDesk({ MAITRED_FOLDERS: folder, ...env })).signIn(name, "review");
    return person.ask("GET", (await linksOf(person, id)).heat);
  };
  expect(await heatFor("ann", {})).toMatchObject({
    status: 422,
    body: { detail: expect.stringContaining("UNSUPPORTED_FORMAT") },
  });
  expect(await heatFor("bob", { MAITRED_MODEL: blind })).toMatchObject({
    status: 409,
    body: { detail: expect.stringContaining("expected an output human_map") },
  });
});

test("where a human is seen is said by the model that is active now", async ({
  configFor,
  folder,
  scope,
}) => {
  const models = join(folder, "models");
  for (const side of [64, 128])
    makeModel(models, `eyes-${side}`, { side, files: { "model.onnx": colourGraph(side) } });
  let active = "eyes-64";
  const config = configFor("postgres", { MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" });
  const explain = openExplainer(config, scope, async () => ({ id: active, sha256: "" }));
  const photo = readFileSync(join(inject("samples"), "menu-1.jpg"));
  // a cell of the map is eight pixels of the model's
  expect((await explain(photo)).map.width).toBe(8);
  active = "eyes-128";
  expect((await explain(photo)).map.width).toBe(16);
});
