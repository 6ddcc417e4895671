import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { PhotoError, UpstreamError } from "../../src/errors.ts";
import { isHeldOut, type LabelledPhoto, labelOf, type Origin } from "../../src/label.ts";
import { type ExportDeps, writeLabels } from "../../src/labels/folder.ts";
import { test } from "../fixtures.ts";

const photo = (id: number, over: Partial<LabelledPhoto> = {}): LabelledPhoto => ({
  id: String(id),
  store: "s3",
  bucket: "b",
  key: `uploads/2026/${id}.jpg`,
  version: "",
  listing: null,
  revivedAt: null,
  origin: "claim",
  category: "food",
  human: null,
  by: "uploader:user",
  at: new Date("2026-01-02T03:04:05Z"),
  model: null,
  ...over,
});
async function* many(count: number): AsyncGenerator<LabelledPhoto> {
  for (let id = 1; id <= count; id++) yield photo(id);
}
const deps = (load: ExportDeps["load"], pauses: number[] = []): ExportDeps => ({
  load,
  pause: async (tries) => void pauses.push(tries),
  withoutReview: async () => [],
  progress: () => {},
});
const bytes = new Uint8Array([1]);
const labelled = (folder: string): string[] =>
  readFileSync(join(folder, "labels.jsonl"), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line).photo as string);

describe("labelOf", () => {
  test("groups photos by listing, and where none is known by the folder of their key", () => {
    expect(labelOf(photo(1, { listing: "42" }))?.source).toBe("listing:42");
    expect(labelOf(photo(1))?.source).toBe("prefix:b/uploads/2026/");
    expect(labelOf(photo(1, { key: "a.jpg" }))?.source).toBe("prefix:b/");
  });

  test("gives no category that training does not know, and no label that teaches nothing", () => {
    expect(labelOf(photo(1, { category: "Menu" }))).toMatchObject({ category: "menu", human: null });
    expect(labelOf(photo(1, { category: "pets", human: true }))).toMatchObject({
      category: null,
      human: true,
    });
    expect(labelOf(photo(1, { category: "pets" }))).toBeUndefined();
    expect(labelOf(photo(1, { category: null }))).toBeUndefined();
  });

  test("takes the model's category where a moderator who looked for humans left it, and says so", () => {
    const said = { by: "model:m-1", verdict: "review", rule: "human-uncertain" };
    const model = { ...said, scores: { food: 0.2, menu: 0.7 }, human: 0.1 };
    const reviewed = (over: Partial<LabelledPhoto>) =>
      labelOf(photo(1, { origin: "moderator", category: null, human: false, model, ...over }));
    expect(reviewed({})).toMatchObject({ category: "menu", left: true, human: false });
    expect(reviewed({ category: "food" })).toMatchObject({ category: "food", left: false });
    // given, though training does not know it: it is not the model's
    expect(reviewed({ category: "pets" })).toMatchObject({ category: null, left: false });
    // hidden for another reason than a human
    expect(reviewed({ human: null })).toBeUndefined();
    expect(reviewed({ model: null })).toMatchObject({ category: null, left: false });
    const drinks = { ...model, scores: { drinks: 0.6, food: 0.4 } };
    expect(reviewed({ model: drinks })).toMatchObject({ category: null, left: false, human: false });
  });
});

describe("isHeldOut", () => {
  const sources = Array.from({ length: 1_000 }, (_, id) => `listing:${id}`);
  const heldOut = (share: number): string[] => sources.filter((source) => isHeldOut(source, share));

  test("takes about that share of the sources, the same ones for ever, and more with a larger share", () => {
    expect(heldOut(0.2).length).toBeGreaterThan(160);
    expect(heldOut(0.2).length).toBeLessThan(240);
    // another rule would put into training today what a set of last month measures on
    expect(heldOut(0.005)).toEqual([54, 177, 353, 391, 823].map((id) => `listing:${id}`));
    expect(heldOut(0.4)).toEqual(expect.arrayContaining(heldOut(0.2)));
  });
});

describe("writeLabels", () => {
  test.for(["ascii", "latin1"] as const)(
    "fetches nothing where an earlier label cannot be read, which would be lost: %s",
    async (encoding, { folder }) => {
      const second = encoding === "latin1" ? '{"file":"a.jpg","source":"caf\xe9"}' : '{"file":';
      const broken = Buffer.from(`{"file":"photos/7.jpg"}\n${second}\n`, encoding);
      writeFileSync(join(folder, "labels.jsonl"), broken);
      const load = () => Promise.reject(new Error("was fetched"));
      const written = writeLabels(deps(load), many(3), folder, { width: 1, attempts: 1 });
      await expect(written).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/labels\.jsonl:2: expected/),
      });
      expect(readFileSync(join(folder, "labels.jsonl"))).toEqual(broken);
    },
  );

  test("has at most so many photos in hand, and as many as that", async ({ folder }) => {
    let [inHand, most] = [0, 0];
    const load = async (): Promise<Uint8Array> => {
      most = Math.max(most, ++inHand);
      await new Promise((resolve) => setImmediate(resolve));
      inHand--;
      return bytes;
    };
    const done = await writeLabels(deps(load), many(50), folder, { width: 4, attempts: 1 });
    expect(done).toMatchObject({ labels: 50, fetched: 50 });
    expect(most).toBe(4);
    expect(readdirSync(join(folder, "photos"))).toHaveLength(50);
  });

  test("fetches what was uploaded again under its key, and says nothing new of the picture of before", async ({
    folder,
  }) => {
    const exported = async (body: string, over: Partial<LabelledPhoto>, whole: Origin[] = []) => {
      const one = async function* () {
        yield photo(1, { origin: "moderator", ...over });
      };
      const load = deps(async () => Buffer.from(body));
      return writeLabels(load, one(), folder, { width: 1, attempts: 1, whole });
    };
    const paired = () =>
      readFileSync(join(folder, "labels.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ file, human }) => [readFileSync(join(folder, file), "utf8"), human]);
    await exported("a dish", { human: false });
    const again = { human: true, revivedAt: new Date("2026-02-01") };
    expect(await exported("a guest", again)).toMatchObject({ fetched: 1, present: 0 });
    expect(paired()).toEqual([
      ["a dish", false],
      ["a guest", true],
    ]);
    const [line] = readFileSync(join(folder, "labels.jsonl"), "utf8").split("\n");
    const theirs = { ...JSON.parse(line!), file: "photos/mine-2.jpg" };
    writeFileSync(join(folder, "labels.jsonl"), `${JSON.stringify(theirs)}\n`, { flag: "a" });
    writeFileSync(join(folder, theirs.file), "a crop");
    const all = await exported("nothing new", again, ["moderator"]);
    expect(all).toMatchObject({ fetched: 0, present: 1, takenBack: 1 });
    expect(paired()).toEqual([
      ["a guest", true],
      ["a crop", false],
    ]);
  });

  test("lays no label beside the picture of another object that had the same id", async ({ folder }) => {
    const run = async (over: Partial<LabelledPhoto>) => {
      const one = async function* () {
        yield photo(1, over);
      };
      const load = deps(async ({ bucket, key, version }) => Buffer.from(`${bucket} ${key} ${version}`));
      await writeLabels(load, one(), folder, { width: 1, attempts: 1 });
      return readFileSync(join(folder, "photos/1.jpg"), "utf8");
    };
    // a database that was restored, or another one, gives ids anew
    expect(await run({ key: "a", version: "1" })).toBe("b a 1");
    expect(await run({ key: "b", version: "1" })).toBe("b b 1");
    expect(await run({ key: "b", version: "2" })).toBe("b b 2");
    expect(await run({ bucket: "c", key: "b", version: "2" })).toBe("c b 2");
    writeFileSync(join(folder, "labels.jsonl"), "");
    expect(await run({ key: "a", version: "1" })).toBe("b a 1");
    // nor keeps it for one that cannot be had
    const gone = deps(() => Promise.reject(new PhotoError("GONE", "gone")));
    await writeLabels(gone, many(1), folder, { width: 1, attempts: 1 });
    expect(labelled(folder)).toEqual([]);
  });

  test("judges earlier labels by the listing that their key tells now", async ({ folder }) => {
    const limits = { width: 1, attempts: 1 };
    const load = deps(async () => bytes);
    const both = async function* () {
      yield photo(1, { key: "held/1.jpg" });
      yield photo(2, { key: "kept/2.jpg" });
      yield photo(3, { key: "held/3.jpg", listing: "kept" });
    };
    await writeLabels(load, both(), folder, limits);
    const listingOf = (key: string): string => key.split("/")[0]!;
    const belongs = (source: string): boolean => source !== "listing:held";
    await writeLabels(load, many(0), folder, { ...limits, belongs, listingOf });
    const lines = readFileSync(join(folder, "labels.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line)).map(({ photo, source }) => [photo, source])).toEqual([
      ["2", "listing:kept"],
      ["3", "listing:kept"],
    ]);
  });

  test("takes back what it knows of all pictures of a photo", async ({ folder }) => {
    for (const revivedAt of [null, new Date("2026-02-01")]) {
      const one = async function* () {
        yield photo(1, { revivedAt });
      };
      await writeLabels(
        deps(async () => bytes),
        one(),
        folder,
        { width: 1, attempts: 1, whole: [] },
      );
    }
    expect(labelled(folder)).toEqual(["1", "1"]);
    const gone = { ...deps(async () => bytes), withoutReview: async () => ["1"] };
    const how = { width: 1, attempts: 1, whole: ["claim" as const] };
    expect(await writeLabels(gone, many(0), folder, how)).toMatchObject({ takenBack: 2 });
    expect(labelled(folder)).toEqual([]);
  });

  test("tries a store that does not answer again, and never a photo that is at fault", async ({ folder }) => {
    const tries: Record<string, number> = {};
    const load = async ({ id }: LabelledPhoto): Promise<Uint8Array> => {
      tries[id] = (tries[id] ?? 0) + 1;
      if (id === "1" && tries[id] < 3) throw new UpstreamError("STORE_UNAVAILABLE", "away");
      if (id === "2") throw new PhotoError("GONE", "gone");
      return bytes;
    };
    const pauses: number[] = [];
    const done = await writeLabels(deps(load, pauses), many(3), folder, { width: 1, attempts: 3 });
    expect(tries).toEqual({ 1: 3, 2: 1, 3: 1 });
    expect(pauses).toEqual([1, 2]);
    expect(done.missing.map(({ photo, code }) => [photo, code])).toEqual([["2", "GONE"]]);
    expect(labelled(folder)).toEqual(["1", "3"]);
  });

  test("keeps what it has when it ends early, and goes on from there", async ({ folder }) => {
    const loaded: string[] = [];
    let away = true;
    const load = async ({ id }: LabelledPhoto): Promise<Uint8Array> => {
      if (away && id === "5") throw new UpstreamError("STORE_UNAVAILABLE", "away");
      loaded.push(id);
      return bytes;
    };
    const width = { width: 2, attempts: 2 };
    await expect(writeLabels(deps(load), many(9), folder, width)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
    const first = labelled(folder);
    expect(first.toSorted()).toEqual(loaded.toSorted());
    expect(first.length).toBeLessThan(9);
    away = false;
    const done = await writeLabels(deps(load), many(9), folder, width);
    expect(done).toMatchObject({ present: first.length, fetched: 9 - first.length });
    expect(loaded.toSorted()).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(labelled(folder)).toHaveLength(9);
    expect(readdirSync(folder).sort()).toEqual(["labels.jsonl", "photos"]);
  });

  test("drops what was taken back where it has seen all, and no line of others or claim", async ({
    folder,
  }) => {
    const lines = [
      { file: "mine.jpg", category: "menu" },
      { file: "photos/7.jpg", photo: "7", origin: "moderator", category: "food" },
      { file: "photos/8.jpg", photo: "8", origin: "claim", category: "food" },
      { file: "photos/1.jpg", photo: "1", origin: "moderator", category: "menu" },
    ].map((line) => `${JSON.stringify(line)}\n`);
    writeFileSync(join(folder, "labels.jsonl"), `\ufeff${lines.join("")}`);
    const load = deps(async () => bytes);
    const limits = { width: 1, attempts: 1 };
    expect(await writeLabels(load, many(1), folder, limits)).toMatchObject({ takenBack: 0 });
    const whole = ["moderator", "audit"] as const;
    // reviewed anew while this ran
    expect(await writeLabels(load, many(1), folder, { ...limits, whole })).toMatchObject({ takenBack: 0 });
    const gone = { ...load, withoutReview: async (ids: readonly string[]) => [...ids] };
    expect(await writeLabels(gone, many(1), folder, { ...limits, whole })).toMatchObject({ takenBack: 1 });
    const files = readFileSync(join(folder, "labels.jsonl"), "utf8").trim().split("\n");
    expect(files.map((line) => JSON.parse(line).file)).toEqual(["mine.jpg", "photos/8.jpg", "photos/1.jpg"]);
  });

  test("drops what it wrote of a photo that teaches nothing any more", async ({ folder }) => {
    const [load, limits] = [deps(async () => bytes), { width: 1, attempts: 1 }];
    await writeLabels(load, many(2), folder, limits);
    const again = async function* () {
      yield photo(1, { origin: "moderator", category: null });
      yield photo(3, { category: null });
    };
    expect(await writeLabels(load, again(), folder, limits)).toMatchObject({ unusable: 2, takenBack: 1 });
    expect(labelled(folder)).toEqual(["2"]);
  });

  test("writes to a folder alone, and minds no export that was killed", async ({ folder }) => {
    const limits = { width: 1, attempts: 1 };
    const lock = join(folder, "export.lock");
    let held = "";
    const other = await new Promise<unknown>((resolve, reject) => {
      const load = async (): Promise<Uint8Array> => {
        held = readFileSync(lock, "utf8").trim();
        await writeLabels(
          deps(async () => bytes),
          many(2),
          folder,
          limits,
        ).then(resolve, resolve);
        return bytes;
      };
      writeLabels(deps(load), many(1), folder, limits).catch(reject);
    });
    expect(other).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("export.lock") });
    const [pid, host, boot, processes] = held.split(" ");
    const ended = spawnSync(process.execPath, ["--version"]).pid;
    const after = (left: unknown[]): Promise<unknown> => {
      writeFileSync(lock, `${left.join(" ")}\n`);
      return writeLabels(
        deps(async () => bytes),
        many(3),
        folder,
        limits,
      );
    };
    for (const left of [
      [ended, host, boot, processes],
      [pid, host, "before", processes],
    ]) {
      await after(left);
      expect(labelled(folder)).toEqual(["1", "2", "3"]);
      expect(readdirSync(folder).sort()).toEqual(["labels.jsonl", "photos"]);
    }
    for (const left of [
      [pid, host, boot, processes],
      [ended, "elsewhere", boot, processes],
      [ended, host, boot, "of another container"],
      [ended, host],
    ]) {
      await expect(after(left), String(left)).rejects.toThrow("export.lock");
    }
  });

  test("keeps lines of others, and replaces its own", async ({ folder }) => {
    const other = `{"file":"mine.jpg","category":"menu","human":false,"source":"me","photo":"x"}\n`;
    const stale = `{"file":"photos/1.jpg","category":"menu","photo":"1"}\n`;
    writeFileSync(join(folder, "labels.jsonl"), other + stale);
    await writeLabels(
      deps(async () => bytes),
      many(1),
      folder,
      { width: 1, attempts: 1 },
    );
    const text = readFileSync(join(folder, "labels.jsonl"), "utf8");
    expect(text.startsWith(other)).toBe(true);
    expect(text).not.toContain(stale);
    expect(labelled(folder)).toEqual(["x", "1"]);
  });
});
