import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { createFolderFetch, folderPhoto, listFolder } from "../../src/image/folder.ts";
import type { PhotoRef } from "../../src/photo.ts";
import { rollupState } from "../../src/store/rollups.ts";
import { openJudge } from "../../src/wiring/judge.ts";
import { BACKENDS } from "../fixtures.ts";
import { test as base, type Start } from "../lines.ts";
import { startS3, type TestS3 } from "../s3.ts";

const samples = inject("samples");
let s3: TestS3;

beforeAll(async () => {
  s3 = await startS3("photos");
});
afterAll(() => s3.stop());

async function put(
  key: string,
  body: Uint8Array | string,
  metadata: Record<string, string> = {},
): Promise<PhotoRef> {
  await s3.put(key, body, metadata);
  return { store: "s3", bucket: "photos", key, version: "" };
}

const test = base.extend<{ start: Start }>({
  start: async ({ start }, use) => {
    await use((backend, env) => start(backend, { MAITRED_S3_ENDPOINT: s3.address, ...env }));
  },
});

describe.each(BACKENDS)("the line on %s", (backend) => {
  test("an upload becomes a tag, a human is hidden, and what cannot be judged is named, beside its neighbours", async ({
    start,
    db,
  }) => {
    const { judge, worker } = await start(backend, { MAITRED_MAX_BYTES: "4000000" });
    const photos = await Promise.all([
      put("42/coffee.jpg", readFileSync(join(samples, "business-product-1.jpg")), {
        uploader: "user",
        claimed: "food",
      }),
      put("42/portrait.jpg", readFileSync(join(samples, "landing-portrait-1.jpg"))),
      put("42/menu.jpg", readFileSync(join(samples, "menu-1.jpg"))),
      put("42/a+b %20 ü 🍜.jpg", readFileSync(join(samples, "business-product-1.jpg"))),
      put("42/empty.jpg", ""),
      put("42/words.jpg", "not a photo"),
      put("42/cut.jpg", readFileSync(join(samples, "menu-1.jpg")).subarray(0, 300)),
      put("42/huge.jpg", new Uint8Array(4_000_001)),
    ]);
    const gone: PhotoRef = { store: "s3", bucket: "photos", key: "42/gone.jpg", version: "" };
    const menu = await put("42/replaced.jpg", readFileSync(join(samples, "menu-1.jpg")));
    const replaced: PhotoRef = { ...menu, version: "etag:0123" };
    const outside: PhotoRef = { store: "folder", bucket: "/etc", key: "hostname", version: "" };
    const rows = await judge([...photos, gone, replaced, outside], "live", { listing: "42" });
    expect(rows.get("42/coffee.jpg")).toMatchObject({
      state: "shown",
      category: "food",
      listing: "42",
      uploader: "user",
      claimed: "food",
    });
    expect(rows.get("42/a+b %20 ü 🍜.jpg")).toMatchObject({ state: "shown", category: "food" });
    expect(rows.get("42/menu.jpg")).toMatchObject({ state: "review", category: "menu", rule: "verify" });
    const failures = Object.fromEntries(
      (await db.pool.query("select key, failure from photos where state = 'failed'")).rows.map((row) => [
        row.key,
        row.failure,
      ]),
    );
    expect(failures).toEqual({
      "42/empty.jpg": "EMPTY",
      "42/words.jpg": "UNSUPPORTED_FORMAT",
      "42/cut.jpg": "CORRUPT",
      "42/huge.jpg": "TOO_LARGE",
      "42/gone.jpg": "GONE",
      "42/replaced.jpg": "GONE",
      hostname: "ACCESS_DENIED",
    });
    const { rows: hidden } = await db.pool.query(
      "select rule, human from photos where key = '42/portrait.jpg' and version = ''",
    );
    expect(hidden[0]).toMatchObject({ rule: "human" });
    const { rows: shown } = await db.pool.query(
      "select key from public_photos where listing = '42' and category = 'food' order by photo_id desc",
    );
    expect(shown.map((row) => row.key).sort()).toEqual(["42/a+b %20 ü 🍜.jpg", "42/coffee.jpg"]);

    const inItsStead = async (): Promise<unknown[]> =>
      (
        await db.pool.query(
          "select state, category, listing, lane from photos where key = '42/replaced.jpg' and superseded_at is null",
        )
      ).rows;
    await expect
      .poll(inItsStead)
      .toEqual([{ state: "review", category: "menu", listing: "42", lane: "live" }]);

    const metrics = await (await fetch(`${worker.url}/metrics`)).text();
    expect(metrics).toMatch(/maitred_photos_total\{lane="live",verdict="hidden",category="\w+"\} 1/);
    expect(metrics).toContain('maitred_failures_total{lane="live",code="CORRUPT"} 1');
    expect(metrics).toMatch(/maitred_stage_seconds_count\{stage="decode",lane="live"\} \d+/);
    expect(metrics).toMatch(/maitred_queue_waiting\{lane="backfill",prefix="\w+"\} 0/);
    expect((await fetch(`${worker.url}/readyz`)).status).toBe(200);
    expect((await fetch(`${worker.url}/healthz`)).status).toBe(200);
  });

  test("the same photo twice gives one verdict", async ({ start, db }) => {
    const { judge } = await start(backend, { MAITRED_MODEL: inject("idleModel") });
    const photo = await put("twice.jpg", readFileSync(join(samples, "business-product-1.jpg")));
    await judge([photo], "live");
    await judge([photo], "backfill");
    expect((await db.pool.query("select count(*)::int as n from verdicts")).rows).toEqual([{ n: 1 }]);
  });
});

test("each of many photos keeps its own result, in whatever batches it travels", async ({
  start,
  configFor,
  folder,
  db,
}) => {
  const photos: { name: string; bytes: Buffer }[] = [];
  const names = readdirSync(samples);
  for (let n = 0; n < 72; n++) {
    const source = sharp(readFileSync(join(samples, names[n % names.length]!))).resize(320, 320, {
      fit: "fill",
    });
    const name = `${String(n).padStart(3, "0")}.jpg`;
    photos.push({
      name,
      bytes: await source
        .modulate({ hue: (n * 37) % 360, brightness: 0.7 + (n % 9) / 12 })
        .jpeg()
        .toBuffer(),
    });
    writeFileSync(join(folder, name), photos[n]!.bytes);
  }
  const one = await openJudge(configFor(BACKENDS[0]!));
  const expected = new Map<string, { categories: Record<string, number>; human: number }>();
  for (const { name, bytes } of photos) {
    const frames = await one.decode(bytes, (work) => work());
    expected.set(name, (await one.inference.run(frames))[0]!);
  }
  await one.close();

  const { judge } = await start(BACKENDS[0]!, { MAITRED_FOLDERS: folder });
  const pages = [];
  for await (const page of listFolder(folder)) pages.push(...page);
  const shuffled = pages.toSorted(
    (a, b) => (Number(a.key.slice(1, 3)) % 7) - (Number(b.key.slice(1, 3)) % 7),
  );
  await judge(shuffled.slice(0, 40), "backfill");
  await judge(shuffled.slice(40), "live");
  const { rows } = await db.pool.query(
    "select p.key, p.human, v.scores, v.batch from photos p join verdicts v on v.photo_id = p.id",
  );
  expect(rows).toHaveLength(72);
  for (const { key, human, scores } of rows) {
    expect(human, key).toBeCloseTo(expected.get(key)!.human, 3);
    for (const [category, score] of Object.entries(expected.get(key)!.categories))
      expect(scores[category], key).toBeCloseTo(score, 3);
  }
  const distinct = new Set(rows.map(({ scores }) => JSON.stringify(scores)));
  expect(distinct.size).toBeGreaterThan(60);
  expect(new Set(rows.map(({ batch }) => batch)).size).toBeLessThan(72);
});

test("what the key tells fills in what neither event nor object said", async ({ start }) => {
  const { judge } = await start(BACKENDS[0]!, {
    MAITRED_KEY_TEMPLATE: "{listing}/{claimed}/{name}",
    MAITRED_MODEL: inject("idleModel"),
  });
  const photo = await put("77/food/x.jpg", readFileSync(join(samples, "business-product-1.jpg")), {
    claimed: "menu",
  });
  expect((await judge([photo])).get("77/food/x.jpg")).toMatchObject({ listing: "77", claimed: "menu" });
});

test("a human in a later frame of an animation hides it, and its category is that of the first", async ({
  start,
  configFor,
  db,
}) => {
  const frame = (file: string) =>
    sharp(readFileSync(join(samples, file)))
      .resize(320, 320, { fit: "fill" })
      .png()
      .toBuffer();
  const food = await frame("business-product-1.jpg");
  const human = await frame("landing-portrait-1.jpg");
  const animation = (format: "gif" | "webp", frames: Buffer[]) =>
    sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer();
  const files = {
    "gif.gif": await animation("gif", [food, human]),
    "webp.webp": await animation("webp", [food, human, food]),
    "still.webp": await animation("webp", [food, food]),
  };
  const { judge } = await start(BACKENDS[0]!);
  const photos = await Promise.all(Object.entries(files).map(([key, bytes]) => put(key, bytes)));
  const rows = await judge(photos);
  expect(rows.get("gif.gif")).toMatchObject({ state: "hidden", rule: "human", category: "food" });
  expect(rows.get("webp.webp")).toMatchObject({ state: "hidden", rule: "human", category: "food" });
  expect(rows.get("still.webp")).toMatchObject({ state: "shown", category: "food" });

  const one = await openJudge(configFor(BACKENDS[0]!));
  const frames = await one.decode(files["webp.webp"], (work) => work());
  const scores = await one.inference.run(frames);
  await one.close();
  const { rows: stored } = await db.pool.query(
    "select v.human, v.scores from verdicts v join photos p on p.id = v.photo_id where p.key = 'webp.webp'",
  );
  expect(stored).toHaveLength(1);
  expect(stored[0].human).toBeCloseTo(scores[1]!.human, 3);
  expect(stored[0].scores["food"]).toBeCloseTo(scores[0]!.categories["food"]!, 3);
});

test("a folder that is away undoes no verdict", async ({ start, folder }) => {
  const photos = join(folder, "disk");
  mkdirSync(photos);
  for (const name of ["a.jpg", "b.jpg"])
    copyFileSync(join(samples, "business-product-1.jpg"), join(photos, name));
  const { judge } = await start(BACKENDS[0]!, {
    MAITRED_FOLDERS: folder,
    MAITRED_MODEL: inject("idleModel"),
  });
  const photo = (key: string): PhotoRef => ({ store: "folder", bucket: photos, key, version: "" });
  expect((await judge([photo("a.jpg")])).get("a.jpg")).toMatchObject({ state: "shown" });
  renameSync(photos, `${photos}.away`);
  const rows = await judge([photo("a.jpg"), photo("c.jpg")]);
  expect(rows.get("a.jpg")).toMatchObject({ state: "shown" });
  expect(rows.get("c.jpg")).toMatchObject({ state: "failed", failure: "STORE_UNAVAILABLE" });
  renameSync(`${photos}.away`, photos);
  rmSync(join(photos, "a.jpg"));
  expect((await judge([photo("a.jpg")])).get("a.jpg")).toMatchObject({ state: "failed", failure: "GONE" });
});

test("of a folder nothing is read that lies elsewhere, was replaced, or is too large", async ({ folder }) => {
  const [photos, elsewhere] = [join(folder, "photos"), join(folder, "photos-of-others")];
  for (const each of [photos, elsewhere]) {
    mkdirSync(each);
    writeFileSync(join(each, "a.jpg"), "1234");
  }
  symlinkSync(join(elsewhere, "a.jpg"), join(photos, "link.jpg"));
  const fetch = createFolderFetch([photos]);
  const read = (key: string, { bucket = photos, version = "", maxBytes = 4 } = {}): Promise<string> =>
    fetch({ store: "folder", bucket, key, version }, { maxBytes, timeoutMs: 30_000 }).then(
      ({ bytes }) => Buffer.from(bytes).toString(),
      ({ code }) => code,
    );
  expect(await read("a.jpg")).toBe("1234");
  expect(await read("link.jpg")).toBe("ACCESS_DENIED");
  expect(await read("../photos-of-others/a.jpg")).toBe("ACCESS_DENIED");
  expect(await read("a.jpg", { bucket: elsewhere })).toBe("ACCESS_DENIED");
  expect(await read("a.jpg", { maxBytes: 3 })).toBe("TOO_LARGE");
  const { version } = await folderPhoto(photos, join(photos, "a.jpg"));
  expect(await read("a.jpg", { version })).toBe("1234");
  writeFileSync(join(photos, "a.jpg"), "123");
  expect(await read("a.jpg", { version })).toBe("GONE");
});

test("a worker keeps the counts of dashboards folded, where nothing else runs", async ({ start, db }) => {
  await db.pool.query(
    "insert into rollup_scores_changes values ('2026-01-01', 'model:m', 'human', 0, 7), ('2026-01-01', 'model:m', 'human', 0, 2)",
  );
  await start("postgres", { MAITRED_MODEL: inject("idleModel") });
  await expect.poll(async () => (await rollupState(db.pool)).waiting).toBe(0);
  expect((await db.pool.query("select photos from rollup_scores")).rows).toEqual([{ photos: "9" }]);
});
