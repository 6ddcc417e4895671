import { EventEmitter, once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, inject } from "vitest";
import { isHeldOut, type Label } from "../../src/label.ts";
import { packageRoot } from "../../src/package-root.ts";
import type { PhotoMetadata, PhotoRef } from "../../src/photo.ts";
import { claimedPhotos, reviewedPhotos } from "../../src/store/labels.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { startS3 } from "../s3.ts";
import { judged } from "../verdicts.ts";

const samples = inject("samples");

async function register(db: Database, photo: Partial<PhotoRef>, known: PhotoMetadata = {}): Promise<string> {
  const ref: PhotoRef = { store: "s3", bucket: "b", key: "a.jpg", version: "", ...photo };
  return (await registerPhotos(db.pool, [{ ...ref, known }], "live"))[0]!.id;
}
const review = (
  db: Database,
  id: string,
  by: string,
  category: string | null,
  human: boolean | null,
  audit = false,
) => db.pool.query("select record_review($1, $2, 'hidden', $3, $4, $5)", [id, by, category, human, audit]);
const judge = (
  db: Database,
  photoId: string,
  model: string,
  human: number,
  digest?: string,
  sameAs?: string,
) => {
  const outcome = judged(photoId, "shown", `model:${model}`);
  const scores = { categories: { food: 0.75, other: 0.25 }, human };
  const result = { ...outcome.result, scores, ...(digest && { digest }) };
  return recordOutcomes(db.pool, [{ ...outcome, result, ...(sameAs && { batch: `same-${sameAs}` }) }]);
};
async function all<Row>(pages: AsyncIterable<Row[]>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const page of pages) rows.push(...page);
  return rows;
}
const since = new Date(0);
const labelsOf = (folder: string): Label[] =>
  readFileSync(join(folder, "labels.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Label);

/** Runs the export as a user would; `out` is the folder, and what it printed is returned. */
async function exported(
  env: Record<string, string>,
  out: string,
  ...options: string[]
): Promise<{ code: number | string; done: Record<string, unknown>; stderr: string }> {
  const args = ["labels", "export", "--json", ...options, out];
  const { code, out: done, err } = await ended(args, { MAITRED_BACKOFF_MS: "5", ...env });
  return { code, done: JSON.parse(done || "{}"), stderr: err };
}

describe("what counts as a label", () => {
  test("the latest moderator's word counts, each for what they said, with the model's scores of before", async ({
    db,
  }) => {
    const id = await register(db, {}, { claimed: "menu", listing: "42" });
    await judge(db, id, "old", 0.25);
    await judge(db, id, "restaurant-6", 0.5);
    await review(db, id, "ann", "food", true);
    await review(db, id, "bob", "other", null);
    const [photo, ...rest] = await all(reviewedPhotos(db.pool, { since }));
    expect(rest).toEqual([]);
    expect(photo).toEqual({
      id,
      store: "s3",
      bucket: "b",
      key: "a.jpg",
      version: "",
      listing: "42",
      revivedAt: null,
      origin: "moderator",
      by: "moderator:bob",
      at: expect.any(Date),
      category: "other",
      human: true,
      model: {
        by: "model:restaurant-6",
        verdict: "shown",
        rule: "clear",
        scores: { food: 0.75, other: 0.25 },
        human: 0.5,
      },
    });
  });

  test("a claim is weak: it says nothing on humans, and nothing where a moderator or a failure did", async ({
    db,
  }) => {
    const claimed = await register(db, { key: "1" }, { claimed: "food", uploader: "user" });
    const reviewed = await register(db, { key: "2" }, { claimed: "food" });
    await review(db, reviewed, "ann", null, true);
    await register(db, { key: "3" });
    const broken = await register(db, { key: "4" }, { claimed: "food" });
    await db.pool.query(
      "update photos set state = 'failed', failure = 'CORRUPT', decided_at = now() where id = $1",
      [broken],
    );
    await register(db, { key: "5", version: "1" }, { claimed: "food" });
    const current = await register(db, { key: "5", version: "2" }, { claimed: "menu" });
    const claims = await all(claimedPhotos(db.pool, { since }, 2));
    expect(claims.map(({ id, category, human, by }) => [id, category, human, by])).toEqual([
      [current, "menu", null, "uploader:unknown"],
      [claimed, "food", null, "uploader:user"],
    ]);
  });

  test("pages give each photo once, the newest first, and audits apart", async ({ db }) => {
    const ids = [];
    for (let n = 0; n < 7; n++) ids.push(await register(db, { key: `${n}` }, { claimed: "food" }));
    for (const id of ids) await review(db, id, "ann", "food", false, id === ids[3]);
    await review(db, ids[0]!, "bob", "menu", false);
    const order = [ids[0], ...ids.slice(1).reverse()];
    expect((await all(reviewedPhotos(db.pool, { since }, 2))).map(({ id }) => id)).toEqual(order);
    const audits = await all(reviewedPhotos(db.pool, { since, audit: true }, 2));
    expect(audits.map(({ id, origin }) => [id, origin])).toEqual([[ids[3], "audit"]]);
    expect(await all(reviewedPhotos(db.pool, { since, audit: false }, 2))).toHaveLength(6);
  });

  test("an audit stays one when the photo is reviewed again, until a model judges it anew", async ({
    db,
  }) => {
    const [appealed, before] = [await register(db, { key: "1" }), await register(db, { key: "2" })];
    for (const id of [appealed, before]) {
      await judge(db, id, "old", 0.25);
      await review(db, id, "ann", "food", false, true);
    }
    // no worker overwrites a moderator: the photo waited for a verdict again, as after a rollback
    await db.pool.query(
      "update photos set state = 'pending', decided_by = null, decided_at = null where id = $1",
      [before],
    );
    await judge(db, before, "restaurant-6", 0.5);
    for (const id of [appealed, before]) await review(db, id, "bob", "menu", null);
    const found = async (audit?: boolean) =>
      (await all(reviewedPhotos(db.pool, audit === undefined ? { since } : { since, audit }))).map(
        ({ id, origin, by, category }) => [id, origin, by, category],
      );
    const [audited, other] = [
      [appealed, "audit", "moderator:bob", "menu"],
      [before, "moderator", "moderator:bob", "menu"],
    ];
    expect(await found()).toEqual([other, audited]);
    expect(await found(true)).toEqual([audited]);
    expect(await found(false)).toEqual([other]);
  });

  test("since leaves out what was said before, and stops reading where all is older", async ({ db }) => {
    for (const [key, day] of [
      ["1", "2025-01-01"],
      ["2", "2025-06-01"],
      ["3", "2025-06-02"],
    ]) {
      const id = await register(db, { key: key! }, { claimed: "food" });
      await db.pool.query("update photos set registered_at = $2 where id = $1", [id, day]);
    }
    const pages = claimedPhotos(db.pool, { since: new Date("2025-06-01T12:00Z") }, 1);
    const sizes: number[] = [];
    for await (const page of pages) sizes.push(page.length);
    // the day before is still read, for ids and times may be out of order by a little; what is older is not
    expect(sizes).toEqual([1, 0]);
  });
});

describe("maitred labels export", () => {
  test("writes small photos without EXIF and their labels, and does not fetch them again", async ({
    db,
    folder,
  }) => {
    const bucket = join(folder, "photos");
    const out = join(folder, "out");
    mkdirSync(join(bucket, "uploads"), { recursive: true });
    // stored on its side, with a place
    await sharp(readFileSync(join(samples, "menu-1.jpg")))
      .withExif({ IFD0: { Orientation: "6", Copyright: "somebody" }, IFD3: { GPSLatitude: "51/1 30/1 0/1" } })
      .withMetadata({ orientation: 6 })
      .toFile(join(bucket, "uploads/side.jpg"));
    const stored = await sharp(readFileSync(join(bucket, "uploads/side.jpg"))).metadata();
    expect([stored.orientation, stored.exif?.includes("somebody")]).toEqual([6, true]);
    copyFileSync(join(packageRoot(), "test/photos/menu-rotated.heic"), join(bucket, "uploads/phone.heic"));
    await sharp({ create: { width: 40, height: 30, channels: 4, background: "#00000000" } })
      .png()
      .toFile(join(bucket, "uploads/tiny.png"));
    const at = (key: string): Partial<PhotoRef> => ({ store: "folder", bucket, key: `uploads/${key}` });
    const side = await register(db, at("side.jpg"), { listing: "42" });
    const phone = await register(db, at("phone.heic"));
    const tiny = await register(db, at("tiny.png"), { claimed: "Other", uploader: "moderator" });
    const gone = await register(db, at("gone.jpg"), { claimed: "food" });
    const useless = await register(db, at("useless.jpg"), { claimed: "pets" });
    await judge(db, phone, "restaurant-6", 0.25);
    await review(db, side, "ann", "menu", false);
    await review(db, phone, "ann", null, true, true);
    const env = { DATABASE_URL: db.url, MAITRED_FOLDERS: bucket };
    const lacking = await exported({ DATABASE_URL: db.url }, join(folder, "none"));
    expect(lacking.stderr).toContain(`set MAITRED_FOLDERS=${bucket}`);

    const first = await exported(env, out);
    expect(first.code, first.stderr).toBe(0);
    expect(first.done).toEqual({
      labels: 3,
      fetched: 3,
      present: 0,
      unusable: 1,
      takenBack: 0,
      leftOut: 0,
      withoutListing: 3,
      warnings: [expect.stringContaining("have no listing")],
      origins: { moderator: 1, audit: 1, claim: 1 },
      missing: [{ photo: gone, bucket, key: "uploads/gone.jpg", code: "GONE", message: expect.any(String) }],
    });
    expect(first.stderr).toContain(`GONE photo ${gone} ${bucket}/uploads/gone.jpg`);
    expect(first.stderr).toMatch(/^3 of 4 labels have no listing: .*MAITRED_KEY_TEMPLATE/m);
    const labels = new Map(labelsOf(out).map((label) => [label.photo, label]));
    expect([...labels.keys()].sort()).toEqual([side, phone, tiny].sort());
    expect(labels.has(useless)).toBe(false);
    expect(labels.get(side)).toMatchObject({
      file: `photos/${side}.jpg`,
      category: "menu",
      left: false,
      human: false,
      source: "listing:42",
      origin: "moderator",
      by: "moderator:ann",
      store: "folder",
      bucket,
      key: "uploads/side.jpg",
      version: "",
      model: null,
    });
    expect(labels.get(phone)).toMatchObject({
      origin: "audit",
      category: "food",
      left: true,
      human: true,
      source: `prefix:${bucket}/uploads/`,
    });
    expect(labels.get(tiny)).toMatchObject({
      origin: "claim",
      category: "other",
      human: null,
      by: "uploader:moderator",
    });

    const sizes = await Promise.all(
      [side, phone, tiny].map(async (id) => {
        const { width, height, exif, orientation, format } = await sharp(
          readFileSync(join(out, "photos", `${id}.jpg`)),
        ).metadata();
        expect({ exif, orientation, format }).toEqual({
          exif: undefined,
          orientation: undefined,
          format: "jpeg",
        });
        return [width, height];
      }),
    );
    expect(sizes).toEqual([
      [512, 400],
      [400, 512],
      [40, 30],
    ]);
    const phoneCopy = join(out, "photos", `${phone}.jpg`);
    expect(await difference(join(samples, "menu-1.jpg"), phoneCopy)).toBeLessThan(12);

    rmSync(bucket, { recursive: true });
    await review(db, tiny, "ann", "food", false);
    const again = await exported(env, out, "--from", "moderators,audit");
    expect(again.code, again.stderr).toBe(0);
    expect(again.done).toMatchObject({ labels: 3, fetched: 0, present: 3, missing: [] });
    expect(labelsOf(out).find(({ photo }) => photo === tiny)).toMatchObject({
      origin: "moderator",
      category: "food",
    });
    expect(labelsOf(out)).toHaveLength(3);
    expect(readdirSync(out).sort()).toEqual(["labels.jsonl", "photos"]);
    expect(readdirSync(join(out, "photos"))).toHaveLength(3);
  });

  test("limits to the most trusted, and a dry run fetches and writes nothing", async ({ db, folder }) => {
    for (let n = 0; n < 3; n++) await register(db, { key: `${n}` }, { claimed: "food" });
    await review(db, await register(db, { key: "r" }), "ann", "food", false);
    await review(db, await register(db, { key: "s" }), "ann", "food", false, true);
    const out = join(folder, "out");
    const dry = async (...options: string[]) =>
      (await exported({ DATABASE_URL: db.url }, out, "--dry-run", ...options)).done["origins"];
    expect(await dry()).toEqual({ moderator: 1, audit: 1, claim: 3 });
    expect(await dry("--limit", "3")).toEqual({ moderator: 1, audit: 1, claim: 1 });
    // what teaches nothing is none of them
    await review(db, await register(db, { key: "t" }), "ann", null, null);
    const one = await exported({ DATABASE_URL: db.url }, out, "--dry-run", "--limit", "1");
    expect(one.done).toMatchObject({ labels: 1, unusable: 1 });
    expect(one.stderr).toContain("1 of 1 label has no listing");
    expect(await dry("--from", "moderators")).toEqual({ moderator: 1 });
    expect(await dry("--from", "claims,audit")).toEqual({ audit: 1, claim: 3 });
    expect(await dry("--since", "2999-01-01")).toEqual({});
    expect(existsSync(out)).toBe(false);
  });

  test("a folder to train from and one to measure on share no source, whatever was in them before", async ({
    db,
    folder,
  }) => {
    const bucket = join(folder, "photos");
    for (let listing = 0; listing < 20; listing++) {
      mkdirSync(join(bucket, `${listing}`), { recursive: true });
      for (const name of ["a.jpg", "b.jpg"]) {
        copyFileSync(join(samples, "menu-1.jpg"), join(bucket, `${listing}`, name));
        await register(db, { store: "folder", bucket, key: `${listing}/${name}` }, { claimed: "menu" });
      }
    }
    const env = { DATABASE_URL: db.url, MAITRED_FOLDERS: bucket };
    const [train, gold] = [join(folder, "train"), join(folder, "gold")];
    expect((await exported(env, train)).done).toMatchObject({ labels: 40, withoutListing: 40 });
    // the listing is in the key, and was when these were judged
    const told = { ...env, MAITRED_KEY_TEMPLATE: "{listing}/{name}" };
    const without = await exported(told, train, "--without-held-out", "0.3", "--limit", "4");
    expect(without.code, without.stderr).toBe(0);
    expect(without.done).toMatchObject({ labels: 4, withoutListing: 0 });
    expect(without.stderr).toBe("");
    await exported(told, train, "--without-held-out", "0.3");
    const only = await exported(told, gold, "--held-out", "0.3");
    const sources = (of: string) => new Set(labelsOf(of).map(({ source }) => source));
    expect([...sources(train)].filter((source) => sources(gold).has(source))).toEqual([]);
    expect(labelsOf(train).length + labelsOf(gold).length).toBe(40);
    expect(sources(train).size + sources(gold).size).toBe(20);
    expect(only.done).toMatchObject({ labels: labelsOf(gold).length, leftOut: labelsOf(train).length });
    expect(labelsOf(gold).length).toBeGreaterThan(0);
    const few = `too few sources: ${sources(gold).size} for this folder, ${sources(train).size} for that of the others`;
    expect(only.stderr).toContain(few);
    expect(only.done["warnings"]).toEqual([expect.stringContaining(few)]);

    const both = await exported(env, train, "--held-out", "0.3", "--without-held-out", "0.3");
    expect(both.stderr).toContain("expected one of --without-held-out and --held-out");
    const all = await exported(env, train, "--held-out", "1");
    expect(all.stderr).toContain('--held-out: expected a number between 0 and 1, got "1"');
  });

  test("a picture of two listings is on one side alone: that of its first photo", async ({ db, folder }) => {
    const listings = Array.from({ length: 20 }, (_, n) => `${n}`);
    const apart = listings.find((listing) => isHeldOut(`listing:${listing}`, 0.3))!;
    const other = listings.find((listing) => !isHeldOut(`listing:${listing}`, 0.3))!;
    const pictures = [
      [apart, "d1"],
      [other, "d1"],
      [other, "d2"],
      [apart, "d2"],
      [apart, "d3"],
    ] as const;
    for (const [n, [listing, picture]] of pictures.entries()) {
      const id = await register(db, { key: `${n}` }, { claimed: "food", listing });
      await judge(db, id, "m-1", 0.1, picture.repeat(32));
    }
    const env = { DATABASE_URL: db.url };
    const labels = async (...options: string[]) =>
      (await exported(env, folder, "--dry-run", ...options)).done;
    expect(await labels("--held-out", "0.3")).toMatchObject({ labels: 2, leftOut: 3 });
    expect(await labels("--without-held-out", "0.3")).toMatchObject({ labels: 1, leftOut: 4 });
    expect(await labels()).toMatchObject({ labels: 5, leftOut: 0 });

    // the first of a picture need not be the one that was judged first
    const [early, late] = [
      await register(db, { key: "early" }, { claimed: "food", listing: apart }),
      await register(db, { key: "late" }, { claimed: "food", listing: other }),
    ];
    await judge(db, late, "m-1", 0.1, "d4".repeat(32));
    await judge(db, early, "m-1", 0.1, undefined, late);
    expect(await labels("--held-out", "0.3")).toMatchObject({ labels: 3, leftOut: 4 });
    expect(await labels("--without-held-out", "0.3")).toMatchObject({ labels: 1, leftOut: 6 });
    await db.pool.query("drop index verdicts_same");
    const unsure = await labels("--held-out", "0.3");
    expect(unsure["warnings"]).toContainEqual(expect.stringContaining("may be on both sides"));
  });

  test("says that nothing can be kept apart where all photos are of one source", async ({ db, folder }) => {
    for (const n of [1, 2, 3]) await register(db, { key: `uploads/${n}` }, { claimed: "food" });
    const dry = (option: string) => exported({ DATABASE_URL: db.url }, folder, "--dry-run", option, "0.2");
    const [gold, train] = [await dry("--held-out"), await dry("--without-held-out")];
    expect([gold.done["labels"], train.done["labels"]]).toEqual([0, 3]);
    const one = "all photos are of one source, prefix:b/uploads/, so that";
    for (const [{ done, stderr }, none] of [
      [gold, "this folder has none"],
      [train, "the folder of the others has none"],
    ] as const) {
      expect(done).toMatchObject({ withoutListing: 3, warnings: [expect.anything(), expect.anything()] });
      expect(stderr).toMatch(/^3 of 3 labels have no listing: /m);
      expect(stderr).toContain(`${one} ${none}: give listings with the upload\n`);
    }
  });

  test("fetches from S3 the version that was labelled, and exits 1 for what it may not have", async ({
    db,
    folder,
  }) => {
    const s3 = await startS3("photos");
    try {
      const body = readFileSync(join(samples, "business-product-1.jpg"));
      const etag = (await s3.put("dinner.jpg", body)).ETag!.replaceAll('"', "");
      const dinner = await register(
        db,
        { bucket: "photos", key: "dinner.jpg", version: `etag:${etag}` },
        { claimed: "food" },
      );
      await register(db, { bucket: "photos", key: "replaced.jpg", version: "etag:0" }, { claimed: "food" });
      await s3.put("replaced.jpg", body);
      await register(db, { bucket: "photos", key: "words.jpg" }, { claimed: "food" });
      await s3.put("words.jpg", "words");
      const out = join(folder, "out");
      const { code, done } = await exported({ DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address }, out);
      expect(code).toBe(1);
      const missing = (done["missing"] as { key: string; code: string }[]).map(({ key, code }) => [
        key,
        code,
      ]);
      expect(missing.sort()).toEqual([
        ["replaced.jpg", "GONE"],
        ["words.jpg", "UNSUPPORTED_FORMAT"],
      ]);
      expect(labelsOf(out).map(({ photo }) => photo)).toEqual([dinner]);
    } finally {
      await s3.stop();
    }
  });

  test("writes down what it has when it is interrupted, and goes on from there", async ({ db, folder }) => {
    const count = 60;
    for (let n = 0; n < count; n++) await register(db, { key: `${n}.jpg` }, { claimed: "menu" });
    const body = readFileSync(join(samples, "menu-1.jpg"));
    const told = new EventEmitter();
    const [asked, held] = [once(told, "asked"), once(told, "held")];
    let requests = 0;
    const store = createServer(async (_, response) => {
      if (++requests === 20) told.emit("asked");
      if (requests >= 20) await held;
      response.writeHead(200, { etag: '"1"', "content-length": body.length }).end(body);
    });
    await new Promise<void>((resolve) => store.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = store.address() as AddressInfo;
      const env = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: `http://127.0.0.1:${port}` };
      const out = join(folder, "out");
      const command = maitred(["labels", "export", out], env);
      await asked;
      command.child.kill("SIGINT");
      await command.says("interrupted");
      told.emit("held");
      expect(await command.exit).toBe(130);
      const written = labelsOf(out).length;
      expect(written).toBeGreaterThan(3);
      expect(written).toBeLessThan(count);
      const again = await exported(env, out);
      expect(again.done).toMatchObject({ present: written, fetched: count - written });
    } finally {
      store.close();
    }
  });

  test("ends with 3 where the store does not answer, and says what is wrong with its arguments", async ({
    db,
    folder,
  }) => {
    await register(db, {}, { claimed: "food" });
    const away = { DATABASE_URL: db.url, MAITRED_S3_ENDPOINT: "http://127.0.0.1:1", MAITRED_ATTEMPTS: "2" };
    const { code, stderr } = await exported(away, join(folder, "out"));
    expect(code).toBe(3);
    expect(stderr).toContain("STORE_UNAVAILABLE");
    for (const [option, value] of [
      ["--limit", "0"],
      ["--limit", "many"],
      ["--since", "yesterday"],
      ["--from", "everybody"],
    ]) {
      const wrong = await exported({ DATABASE_URL: db.url }, folder, option!, value!);
      expect(wrong.code).toBe(2);
      expect(wrong.stderr).toContain(`${option}: expected`);
    }
    const nothing = await ended(["labels"]);
    expect(nothing.code).toBe(2);
    expect(nothing.err).toContain("expected export");
  });
});

/** Mean absolute difference of two photos made small, 0..255. */
async function difference(a: string, b: string): Promise<number> {
  const small = (file: string): Promise<Buffer> =>
    sharp(readFileSync(file)).resize(32, 40, { fit: "fill" }).removeAlpha().raw().toBuffer();
  const [left, right] = await Promise.all([small(a), small(b)]);
  return left.reduce((sum, value, index) => sum + Math.abs(value - right[index]!), 0) / left.length;
}
