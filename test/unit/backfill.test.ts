import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createFeeder, type FeederDeps } from "../../src/backfill/feeder.ts";
import { heldBy, type Waiting } from "../../src/backfill/held.ts";
import { type ManifestRecord, readManifest } from "../../src/backfill/manifest.ts";
import { parseHours, secondsWithin, within } from "../../src/backfill/pace.ts";
import { type Page, type PageDeps, pages } from "../../src/backfill/pages.ts";
import { createRate } from "../../src/backfill/progress.ts";
import { describeStored, describe as inWords, parseSelector } from "../../src/backfill/selector.ts";
import type { RunningBackfill } from "../../src/backfill/source.ts";
import { duration } from "../../src/cli/backfill-estimate.ts";
import { progressLine, statusLines } from "../../src/cli/backfill-report.ts";
import { ConfigError, UpstreamError } from "../../src/errors.ts";
import type { BackfillRow } from "../../src/store/backfills.ts";

describe("hours", () => {
  const at = (hour: number): Date => new Date(2026, 0, 1, hour, 30);

  test("that go over midnight are in the night", () => {
    const night = parseHours("22-06");
    expect([21, 22, 23, 0, 5, 6, 12].map((hour) => within(night, at(hour)))).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test("of one day end before the last", () => {
    const day = parseHours("9-17");
    expect([8, 9, 16, 17].map((hour) => within(day, at(hour)))).toEqual([false, true, true, false]);
    expect(within(parseHours("20-24"), at(23))).toBe(true);
  });

  test("are waited for once a day by what takes longer", () => {
    const hour = parseHours("02-03");
    expect([60, 3_600, 3_601].map((s) => secondsWithin(hour, s))).toEqual([60, 3_600, 86_401]);
    // a third of the day, so that a day's work is done on the third
    expect(secondsWithin(parseHours("22-06"), 24 * 3_600)).toBe((2 * 24 + 8) * 3_600);
  });

  test.each(["22", "22-25", "7-7", "0-24", "a-b", "22:00-06:00"])("%s is refused", (text) => {
    expect(() => parseHours(text)).toThrow(/expected two hours such as 22-06/);
  });
});

describe("a manifest", () => {
  const files: Record<string, string | Buffer> = {
    "s3://m/list.csv": 'Key,listing,etag\n"a,b.jpg",42,"""e1"""\n\nc+d %41.jpg,,\n,7,\nf/,,\n',
    "s3://m/list.jsonl":
      '{"bucket":"x","key":"1.jpg","version":"v1","uploader":"user"}\nno json\n{"bucket":"x","key":"2.jpg","uploader":null,"of":"robot"}',
    "s3://m/robot.jsonl": '{"key":"1.jpg"}\n{"uploader":"user"}\n{"key":"2.jpg","uploader":"robot"}',
    "s3://m/people.csv": "key,uploader\n1.jpg,\n2.jpg,User\n",
    "s3://m/list.csv.gz": gzipSync("bucket,key\nx,1.jpg\nx,2.jpg\n"),
    "s3://m/members.csv.gz": Buffer.concat([
      gzipSync("bucket,key\nx,1.jpg\n"),
      gzipSync("x,2.jpg\nx,3.jpg\n"),
    ]),
    "s3://m/marked.jsonl": '\uFEFF{"Bucket":"x","Key":"1.jpg"}\r\n{"bucket":"x","key":{"name":"2.jpg"}}\r\n',
    "s3://m/mixed.csv": "\uFEFFbucket,key\nx,1.jpg\r\nx,2.jpg\nx,3.jpg\r\n",
    "s3://m/latin.csv": Buffer.from(
      "bucket,key,listing\nx,caf\xe9.jpg,\nx,2.jpg,7\nx,3.jpg,\xff\n",
      "latin1",
    ),
    "s3://m/latin.jsonl": Buffer.from(
      '{"bucket":"x","key":"caf\xe9.jpg"}\n{"bucket":"x","key":"\\ufffd.jpg"}\n',
      "latin1",
    ),
    "s3://m/wide.csv": Buffer.from("\uFEFFbucket,key\nx,café.jpg\n", "utf16le"),
    "s3://m/commas.csv": 'bucket,key\nx,1.jpg\nx,dinner, table 4.jpg\nx,"a,b.jpg"\nx,3.jpg,,\n',
    "s3://m/versions.csv":
      "key,version_id,IsLatest,Is_Delete_Marker\n1.jpg,v2,True,\n1.jpg,v1,False,\n2.jpg,v9,TRUE,true\n3.jpg,null,,\n4.jpg,v1,f,f\n4.jpg,v2,t,f\n5.jpg,v3,t,t\n6.jpg,v1, 0,0\n",
    "s3://m/versions.jsonl":
      '{"Key":"1.jpg","VersionId":"v2","IsLatest":true,"ETag":"\\"e\\""}\n{"Key":"1.jpg","VersionId":"v1","IsLatest":false}\n{"key":"2.jpg","is_delete_marker":true}\n',
    "s3://m/impossible.jsonl": [
      { version: "a\u0000b" },
      { version: "v".repeat(6_000) },
      { etag: "\u00e9 x" },
      { etag: '"e1"' },
    ]
      .map((more) => JSON.stringify({ key: "1.jpg", ...more }))
      .join("\n"),
    "s3://m/numbers.jsonl":
      '{"key":"1.jpg","listing":1541815603606036481}\n{"key":1541815603606036481}\n{"key":"2.jpg","listing":42,"size":1e30}\n',
    "s3://m/padded.csv": "key, listing ,version\n a.jpg, 42, v1\nb.jpg, 43 ,v2\n",
    "s3://m/windows.csv": 'bucket,key\r\nx,1.jpg\nx,"2\r\n.jpg"\n',
    "s3://m/empty.csv": "\r\n\n",
    "s3://inv/marked/manifest.json": `\uFEFF${JSON.stringify({
      destinationBucket: "arn:aws:s3:::inv",
      fileFormat: "CSV",
      fileSchema: "Bucket, Key",
      files: [{ key: "d/none.csv" }, { key: "d/3.csv" }],
    })}`,
    "s3://inv/d/none.csv": "",
    "s3://inv/d/3.csv": '"photos","3.jpg"\n',
    "s3://m/other.csv": "name\n1.jpg\n",
    "s3://m/cut.csv.gz": gzipSync(`bucket,key\n${"x,1.jpg\n".repeat(9)}`).subarray(0, -12),
    "s3://m/plain.jsonl.gz": '{"bucket":"x","key":"1.jpg"}\n',
    "s3://m/long.jsonl": `{"bucket":"x","key":"1.jpg"}\n\n{"key":"${"a".repeat(1_000_000)}"}\n`,
    "s3://m/endless.jsonl.gz": gzipSync("a".repeat(3_000_000)),
    "s3://m/long.csv": `bucket,key\nx,1.jpg\nx,${"a".repeat(1_000_001)}\n`,
    "s3://m/photos.json": Buffer.alloc(64_000_001, '{"key":"1.jpg"}\n'),
    "s3://m/unclosed.csv": 'bucket,key\nx,"1.jpg\n',
    "s3://m/other.parquet": "PAR1",
    "s3://inv/2026/manifest.json": JSON.stringify({
      sourceBucket: "photos",
      destinationBucket: "arn:aws:s3:::inv",
      fileFormat: "CSV",
      fileSchema: "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag",
      files: [{ key: "d/1.csv.gz" }, { key: "d/2.csv.gz" }],
    }),
    "s3://inv/d/1.csv.gz": gzipSync(
      '"photos","a+b%2B%25.jpg","v1","true","false","10","e1"\n"photos","old.jpg","v0","false","false","10","e0"\n',
    ),
    "s3://inv/d/2.csv.gz": gzipSync(
      '"photos","gone.jpg","v9","true","true","",""\n"photos","%F0%9F%8D%95.jpg","null","true","false","10","e2"\n"photos","%ZZ","","true","false","1","e"\n',
    ),
    "s3://inv/parquet/manifest.json": JSON.stringify({
      destinationBucket: "arn:aws:s3:::inv",
      fileFormat: "Parquet",
      fileSchema: "message s3.inventory { required binary bucket (STRING); }",
      files: [{ key: "d/1.parquet" }],
    }),
    "s3://inv/orc/manifest.json": '{"destinationBucket":"x","fileFormat":"ORC","fileSchema":"","files":[]}',
  };
  const open = async (at: string): Promise<Readable> => {
    const file = files[at];
    if (file === undefined) throw new UpstreamError("STORE_UNAVAILABLE", "away");
    return Readable.from([Buffer.from(file)]);
  };
  const all = async (at: string, from = { file: 0, record: 0 }, bucket?: string): Promise<ManifestRecord[]> =>
    gather(readManifest(open, at, from, bucket));
  const named = (records: readonly ManifestRecord[]) =>
    records.map(({ photo }) => photo && [photo.bucket, photo.key, photo.version]);

  test("in CSV names its columns, and keys as they are", async () => {
    const records = await all("s3://m/list.csv", undefined, "b");
    expect(named(records)).toEqual([["b", "a,b.jpg", "etag:e1"], ["b", "c+d %41.jpg", ""], undefined]);
    expect(records[0]!.photo!.known).toEqual({ listing: "42" });
  });

  test("in JSON lines counts a line that is none, and leaves out what it does not understand", async () => {
    const records = await all("s3://m/list.jsonl");
    expect(named(records)).toEqual([["x", "1.jpg", "v1"], undefined, ["x", "2.jpg", ""]]);
    expect(records.map(({ photo }) => photo?.known)).toEqual([{ uploader: "user" }, undefined, {}]);
  });

  test("is refused where it names an uploader that there is none of, as --uploader is", async () => {
    await expect(all("s3://m/robot.jsonl", undefined, "b")).rejects.toThrow(
      new ConfigError('s3://m/robot.jsonl: record 3: uploader: expected moderator or user, got "robot"'),
    );
    await expect(all("s3://m/people.csv", undefined, "b")).rejects.toThrow(
      /record 2: uploader: .* got "User"/,
    );
  });

  test("is read whatever program wrote it: with a mark of its encoding, and lines that end in several ways", async () => {
    expect(named(await all("s3://m/marked.jsonl"))).toEqual([["x", "1.jpg", ""], undefined]);
    expect(named(await all("s3://m/mixed.csv"))).toEqual(["1", "2", "3"].map((n) => ["x", `${n}.jpg`, ""]));
    expect(named(await all("s3://m/windows.csv"))).toEqual([
      ["x", "1.jpg", ""],
      ["x", "2\r\n.jpg", ""],
    ]);
    expect(named(await all("s3://inv/marked/manifest.json"))).toEqual([["photos", "3.jpg", ""]]);
  });

  test("names no photo in a record whose bytes are not UTF-8, and the others", async () => {
    expect(named(await all("s3://m/latin.csv"))).toEqual([undefined, ["x", "2.jpg", ""], undefined]);
    expect(named(await all("s3://m/latin.jsonl"))).toEqual([undefined, ["x", "\ufffd.jpg", ""]]);
    expect(named(await all("s3://m/wide.csv"))).toEqual([["x", "café.jpg", ""]]);
  });

  test.each(["list.csv", "list.csv.gz", "list.jsonl", "list.jsonl.gz", "inventory"])(
    "%s is closed where nobody reads on, or its connection would never be free again",
    async (name) => {
      const csv = `"b","1.jpg"\n`.repeat(200_000);
      const inventory = {
        destinationBucket: "arn:aws:s3:::m",
        fileFormat: "CSV",
        fileSchema: "Bucket, Key",
        files: [{ key: "i.csv", MD5checksum: "0".repeat(32) }],
      };
      const lists: Record<string, string | Buffer> = {
        "s3://m/list.csv": `bucket,key\n${csv}`,
        "s3://m/list.csv.gz": gzipSync(`bucket,key\n${csv}`, { level: 0 }),
        "s3://m/list.jsonl": '{"bucket":"b","key":"1.jpg"}\n'.repeat(200_000),
        "s3://m/list.jsonl.gz": gzipSync('{"bucket":"b","key":"1.jpg"}\n'.repeat(200_000), { level: 0 }),
        "s3://m/manifest.json": JSON.stringify(inventory),
        "s3://m/i.csv": csv,
      };
      const opened: Readable[] = [];
      const open = async (at: string): Promise<Readable> => {
        const bytes = Buffer.from(lists[at]!);
        const parts = Array.from({ length: Math.ceil(bytes.length / 1_000) }, (_, n) =>
          bytes.subarray(n * 1_000, (n + 1) * 1_000),
        );
        opened.push(Readable.from(parts));
        return opened.at(-1)!;
      };
      const at = name === "inventory" ? "s3://m/manifest.json" : `s3://m/${name}`;
      for await (const _ of readManifest(open, at, { file: 0, record: 0 }, undefined)) break;
      expect(opened.map(({ destroyed }) => destroyed)).toEqual(opened.map(() => true));
      expect(opened.at(-1)!.readableEnded).toBe(false);
    },
  );

  test("names no photo in a record with more fields than its header, which is a key with a comma and no quotes", async () => {
    expect(named(await all("s3://m/commas.csv"))).toEqual([
      ["x", "1.jpg", ""],
      undefined,
      ["x", "a,b.jpg", ""],
      ["x", "3.jpg", ""],
    ]);
  });

  test("leaves out versions that are not the latest and delete markers, however its columns are spelled", async () => {
    expect(named(await all("s3://m/versions.csv", undefined, "b"))).toEqual([
      ["b", "1.jpg", "v2"],
      ["b", "3.jpg", ""],
      ["b", "4.jpg", "v2"],
    ]);
    expect(named(await all("s3://m/versions.jsonl", undefined, "b"))).toEqual([["b", "1.jpg", "v2"]]);
  });

  test("names no photo in a record with a version or an etag that no request and no table could hold", async () => {
    const records = await all("s3://m/impossible.jsonl", undefined, "b");
    expect(named(records)).toEqual([undefined, undefined, undefined, ["b", "1.jpg", "etag:e1"]]);
    expect(records[0]!.why).toBe("has a version or an etag that S3 cannot have");
  });

  test("names no photo by a number that JSON rounds, which would be another restaurant's", async () => {
    const records = await all("s3://m/numbers.jsonl", undefined, "b");
    expect(named(records)).toEqual([undefined, undefined, ["b", "2.jpg", ""]]);
    expect(records[0]!.why).toBe("has a number that JSON rounds: quote it");
    expect(records[2]!.photo!.known).toEqual({ listing: "42" });
  });

  test("has blanks around values where it has them around the column's name", async () => {
    const records = await all("s3://m/padded.csv", undefined, "b");
    expect(named(records)).toEqual([undefined, ["b", "b.jpg", "v2"]]);
    expect(records[1]!.photo!.known).toEqual({ listing: "43" });
  });

  test("of an S3 Inventory is read file by file: latest versions, decoded keys", async () => {
    expect(named(await all("s3://inv/2026/manifest.json"))).toEqual([
      ["photos", "a b+%.jpg", "v1"],
      ["photos", "🍕.jpg", "etag:e2"],
      undefined,
    ]);
  });

  test.each([
    "s3://m/list.jsonl",
    "s3://m/list.csv.gz",
    "s3://m/members.csv.gz",
    "s3://inv/2026/manifest.json",
  ])("%s goes on behind any of its records", async (at) => {
    const whole = await all(at, undefined, "b");
    expect(whole).toHaveLength(at.includes("list.csv") ? 2 : 3);
    for (const [index, { next }] of whole.entries()) {
      expect(named(await all(at, next, "b"))).toEqual(named(whole.slice(index + 1)));
    }
  });

  test.each([
    ["s3://m/other.csv", /names the column key/],
    ["s3://m/empty.csv", /names the column key, got nothing/],
    ["s3://m/other.parquet", /expected \.csv, \.jsonl/],
    ["s3://inv/orc/manifest.json", /this one is in ORC/],
    ["s3://inv/parquet/manifest.json", /expected .* S3 Inventory: in CSV; this one is in Parquet/],
    ["s3://m/cut.csv.gz", /cut\.csv\.gz: expected gzip: unexpected end of file/],
    ["s3://m/plain.jsonl.gz", /plain\.jsonl\.gz: expected gzip: incorrect header check/],
    ["s3://m/long.jsonl", /long\.jsonl: line 3 is longer than 1,000,000 characters, the most/],
    ["s3://m/endless.jsonl.gz", /line 1 is longer/],
    ["s3://m/long.csv", /long\.csv: line 3 is longer/],
    ["s3://m/unclosed.csv", /expected CSV: Quote Not Closed/],
    ["s3://m/photos.json", /photos\.json: expected the manifest\.json of an S3 Inventory: .*longer than/],
  ])("%s is refused as a whole", async (at, why) => {
    await expect(all(at)).rejects.toThrow(why);
    await expect(all(at)).rejects.toBeInstanceOf(ConfigError);
  });
});

describe("an inventory that says the MD5 of its files", () => {
  const rows = '"photos","1.jpg"\n"photos","2.jpg"\n';
  const names = async (data: Buffer, MD5checksum: string, key: string): Promise<unknown[]> => {
    const manifest = JSON.stringify({
      destinationBucket: "arn:aws:s3:::inv",
      fileFormat: "CSV",
      fileSchema: "Bucket, Key",
      files: [{ key, size: data.length, MD5checksum }],
    });
    const open = async (at: string): Promise<Readable> =>
      Readable.from([at.endsWith(".json") ? Buffer.from(manifest) : data]);
    const read = readManifest(open, "s3://inv/manifest.json", { file: 0, record: 0 }, undefined);
    return (await gather(read)).map(({ photo }) => photo?.key);
  };
  const md5 = (data: Buffer): string => createHash("md5").update(data).digest("hex");

  test.each([
    ["1.csv", Buffer.from(rows)],
    ["1.csv.gz", gzipSync(rows)],
  ])("is read where %s is that, and refused at its end where not", async (key, data) => {
    expect(await names(data, md5(data).toUpperCase(), key)).toEqual(["1.jpg", "2.jpg"]);
    const other = names(data, md5(Buffer.from("other")), key);
    await expect(other).rejects.toThrow(
      `s3://inv/${key}: expected the MD5 that manifest.json says, ${md5(Buffer.from("other"))}, got ${md5(data)}`,
    );
    await expect(other).rejects.toBeInstanceOf(ConfigError);
  });
});

const never = () => Promise.reject(new Error("unused"));
const unused = { list: never, select: never, view: never, open: never };
const keysOf = ({ objects = [] }: Page): string[] => objects.map(({ key }) => key);

describe("a list of which no record names a photo", () => {
  const read = (list: string, from: { file: number; record: number } | null = null): Promise<Page[]> => {
    const deps = {
      ...unused,
      open: async () => Readable.from([Buffer.from(list)]),
    };
    return gather(pages(deps, { kind: "manifest", at: "s3://m/l.csv" }, from, 2));
  };

  test("is refused at its end with the first records and why, unless some were read before", async () => {
    await expect(read("key\n1.jpg\n2.jpg\n3.jpg\n")).rejects.toThrow(
      "s3://m/l.csv: none of its 3 records names a photo: record 1 names no bucket, record 2 names no bucket; --bucket NAME says whose keys they are",
    );
    const other = read(`bucket,key\nb,\nb,${"x".repeat(1_025)}\n`);
    await expect(other).rejects.toThrow(/: record 1 names no key, record 2 has a key that S3 cannot have$/);
    await expect(other).rejects.toBeInstanceOf(ConfigError);
    expect(await read("key\n1.jpg\n2.jpg\n", { file: 0, record: 1 })).toMatchObject([{ unreadable: 1 }]);
    expect(await read("bucket,key\n,1.jpg\nb,2.jpg\n")).toMatchObject([
      { objects: [{ key: "2.jpg" }], unreadable: 1 },
      { objects: [], end: true },
    ]);
    expect(await read("key\n")).toMatchObject([{ objects: [], unreadable: 0, end: true }]);
  });
});

test("a prefix is listed a thousand keys at a time, however few make a page, and goes on behind any page", async () => {
  const keys = Array.from({ length: 2_500 }, (_, n) => String(n).padStart(4, "0"));
  let lists = 0;
  const deps: PageDeps = {
    ...unused,
    list: async (bucket, _prefix, after, limit) => {
      lists++;
      const left = keys.filter((key) => key > after);
      const found = left.slice(0, limit).map((key) => ({ store: "s3" as const, bucket, key, version: "" }));
      return { found, after: found.at(-1)?.key ?? after, end: left.length <= limit };
    },
  };
  const prefix = { kind: "prefix", bucket: "b", prefix: "" } as const;
  const read = await gather(pages(deps, prefix, null, 160));
  expect(lists).toBe(3);
  expect(read.flatMap(keysOf)).toEqual(keys);
  expect(read.map(({ end }) => end)).toEqual(read.map((_, index) => index === read.length - 1));
  for (const [index, { cursor }] of read.slice(0, -1).entries()) {
    const { value } = await pages(deps, prefix, cursor, 160).next();
    expect(keysOf(value as Page)[0]).toBe(keysOf(read[index + 1]!)[0]);
  }
});

test("a prefix goes on behind a key with a zero character, which Postgres cannot keep as a cursor", async () => {
  const keys = ["a", "b\0c", "d"];
  const deps = {
    ...unused,
    list: async (_bucket: string, _prefix: string, after: string) => {
      const left = keys.filter((key) => key > after);
      const found = left.slice(0, 1);
      const photos = found.map((key) => ({ store: "s3" as const, bucket: "b", key, version: "" }));
      return {
        found: photos.filter(({ key }) => !key.includes("\0")),
        after: found.at(-1) ?? after,
        end: left.length <= 1,
      };
    },
  };
  const read = await gather(pages(deps, { kind: "prefix", bucket: "b", prefix: "" }, null, 1));
  expect(read.map((page) => [...keysOf(page), page.cursor])).toEqual([
    ["a", { after: "a" }],
    [{ after: "b" }],
    ["d", { after: "d" }],
  ]);
});

describe("a manifest that was replaced while it was read", () => {
  const open = async (at: string): Promise<Readable> =>
    Readable.from([
      Buffer.from(
        at.endsWith(".json")
          ? '{"destinationBucket":"inv","fileFormat":"CSV","fileSchema":"Bucket, Key","files":[{"key":"1.csv"}]}'
          : "bucket,key\nx,1.jpg\nx,2.jpg\n",
      ),
    ]);

  test("by a shorter one is refused, and not taken for read to its end", async () => {
    const rest = (at: string, file: number, record: number) =>
      gather(readManifest(open, at, { file, record }, undefined));
    expect(await rest("s3://m/list.csv", 0, 2)).toEqual([]);
    await expect(rest("s3://m/list.csv", 0, 3)).rejects.toThrow(
      /list\.csv has 2 records, and 3 of it were read already/,
    );
    await expect(rest("s3://m/manifest.json", 1, 5)).rejects.toThrow(/manifest\.json has 1 files, and/);
    await expect(rest("s3://m/list.csv", 0, 3)).rejects.toBeInstanceOf(ConfigError);
  });
});

describe("the feeder", () => {
  const run = (id: string, over: Partial<RunningBackfill> = {}): RunningBackfill => ({
    id,
    what: { kind: "prefix", bucket: "b", prefix: "" },
    model: "model:m",
    maxRate: null,
    hours: null,
    rendition: null,
    cursor: null,
    readAll: false,
    retrying: false,
    rests: false,
    ...over,
  });

  /** A queue and a table in memory: backfills of `total` photos each, of which `size` make a page. */
  function world(backfills: RunningBackfill[], total: number, more: Partial<FeederDeps> = {}) {
    const queue: string[] = [];
    const fed: string[] = [];
    const state = { now: 0, live: 0, limit: 100 };
    const deps: FeederDeps = {
      running: async () => backfills.map((backfill) => ({ ...backfill })),
      async *pages({ id, cursor }, size): AsyncGenerator<Page> {
        let at = Number((cursor as { after: string } | null)?.after ?? 0);
        do {
          const ids = Array.from({ length: Math.min(size, total - at) }, (_, index) => `${id}:${at + index}`);
          at += ids.length;
          yield { ids, cursor: { after: String(at) }, end: at >= total, unreadable: 0 };
        } while (at < total);
      },
      async feed(backfill, from, page) {
        const row = backfills.find(({ id }) => id === backfill.id);
        if (!row || JSON.stringify(row.cursor) !== JSON.stringify(from)) return undefined;
        row.cursor = page.cursor;
        row.readAll = page.end;
        const ids = [...page.ids, ...keysOf(page)];
        fed.push(...ids);
        return ids.map((id) => ({ id, store: "s3", bucket: "b", key: id, version: "", known: {} }));
      },
      stands: async (id) => backfills.find((each) => each.id === id)?.cursor ?? null,
      retry: async () => [],
      async *waitingPhotos() {},
      waiting: async () => 0,
      held: async () => queue.length,
      add: async (photos) => void queue.push(...photos.map(({ id }) => id)),
      depth: async () => queue.length,
      liveOldestMs: async () => state.live,
      finish: async () => [],
      fail: async (id) =>
        void backfills.splice(
          backfills.findIndex((each) => each.id === id),
          1,
        ),
      now: () => state.now,
      ...more,
    };
    const failed: string[] = [];
    const feeder = createFeeder(
      deps,
      { queue: async () => state.limit, liveTargetMs: 1_000 },
      {
        fed() {},
        finished() {},
        failed: (id) => failed.push(id),
        unwell: (error) => failed.push(error.message),
      },
    );
    return { queue, fed, state, feeder, failed, deps };
  }

  test("fills the queue to its bound and not beyond, and goes on as it empties", async () => {
    const { queue, fed, feeder } = world([run("1")], 1_000);
    expect(await feeder.round()).toBe(100);
    expect(await feeder.round()).toBe(0);
    queue.splice(0, 60);
    // a page is as large as the bound at most, so the bound may be passed by one page
    await feeder.round();
    expect(queue.length).toBeLessThanOrEqual(200);
    while (fed.length < 1_000) {
      queue.length = 0;
      await feeder.round();
    }
    expect(fed).toEqual(Array.from({ length: 1_000 }, (_, index) => `1:${index}`));
  });

  test("lets several backfills take turns", async () => {
    const { queue, state, feeder } = world([run("1"), run("2")], 10_000);
    state.limit = 4_000;
    await feeder.round();
    expect(queue.filter((id) => id.startsWith("1:")).length).toBe(2_000);
    expect(queue.filter((id) => id.startsWith("2:")).length).toBe(2_000);
  });

  test("lets them take turns also where there is room for a page at a time, as where one worker runs", async () => {
    const { queue, fed, feeder } = world([run("1"), run("2"), run("3")], 1_000);
    const fedOf = (id: string): number => fed.filter((photo) => photo.startsWith(`${id}:`)).length;
    for (let round = 0; round < 6; round++) {
      await feeder.round();
      queue.length = 0;
    }
    expect(["1", "2", "3"].map(fedOf)).toEqual([200, 200, 200]);
  });

  test("feeds nothing while uploads wait for too long, or outside of its hours", async () => {
    const { state, feeder, fed } = world([run("1", { hours: "22-06" })], 100);
    state.now = new Date(2026, 0, 1, 12).valueOf();
    expect(await feeder.round()).toBe(0);
    state.now = new Date(2026, 0, 1, 23).valueOf();
    expect(feeder.standsBack()).toBe(false);
    state.live = 1_001;
    expect(await feeder.round()).toBe(0);
    expect(feeder.standsBack()).toBe(true);
    state.live = 1_000;
    expect(await feeder.round()).toBe(100);
    expect(feeder.standsBack()).toBe(false);
    expect(fed).toHaveLength(100);
  });

  test("gives one with a rate what a second brings, and nothing while it rests; the others go on", async () => {
    const backfills = [run("1", { maxRate: 4.5 }), run("2")];
    const { feeder, fed, queue, state } = world(backfills, 1_000);
    const ofFirst = () => fed.filter((id) => id.startsWith("1:"));
    state.limit = 300;
    await feeder.round();
    expect(ofFirst()).toHaveLength(5);
    backfills[0]!.rests = true;
    queue.length = 0;
    await feeder.round();
    expect(ofFirst()).toHaveLength(5);
    expect(fed.length).toBeGreaterThan(400);
    backfills[0]!.rests = false;
    queue.length = 0;
    await feeder.round();
    expect(ofFirst()).toEqual(Array.from({ length: 10 }, (_, index) => `1:${index}`));
  });

  test("does not wait for a rate where all is skipped", async () => {
    const { deps, feeder, fed } = world([run("1", { maxRate: 5 })], 40);
    const { feed } = deps;
    deps.feed = async (...page) => (await feed(...page)) && [];
    await feeder.round();
    expect(fed).toHaveLength(40);
  });

  test("looks again what there is to do every few seconds, however much one skips", async () => {
    const backfills = [run("1"), run("2", { hours: "22-06" })];
    const { deps, feeder, fed, state } = world(backfills, 1_000_000);
    const { feed } = deps;
    state.now = new Date(2026, 0, 1, 21, 59, 59).valueOf();
    deps.feed = async (backfill, ...page) => {
      state.now += 100;
      const photos = await feed(backfill, ...page);
      return backfill.id === "1" ? photos && [] : photos;
    };
    expect(await feeder.round()).toBe(0);
    expect(fed.length).toBeLessThan(10_000);
    expect(await feeder.round()).toBe(100);
    expect(fed).toContain("2:0");
  });

  test("goes on where another process stands, when that was faster", async () => {
    const backfills = [run("1")];
    const { feeder, fed, queue } = world(backfills, 300);
    await feeder.round();
    backfills[0]!.cursor = { after: "200" };
    queue.length = 0;
    await feeder.round();
    await feeder.round();
    expect(fed.slice(100)).toEqual(Array.from({ length: 100 }, (_, index) => `1:${200 + index}`));
  });

  test("opens a list once, whoever else feeds pages of it, and anew where it stands within a page", async () => {
    const list = "key\n".padEnd(10_000, "1.jpg\n");
    const backfills = [run("1", { what: { kind: "manifest", at: "s3://m/l.csv", bucket: "b" } })];
    const { deps, feeder, fed, queue } = world(backfills, 0);
    let opened = 0;
    const read: PageDeps = {
      ...unused,
      open: async () => {
        opened++;
        return Readable.from([Buffer.from(list)]);
      },
    };
    deps.pages = ({ what, cursor }, size) => pages(read, what, cursor, size);
    const elsewhere = (record: number) => {
      backfills[0]!.cursor = { file: 0, record };
      queue.length = 0;
    };
    await feeder.round();
    elsewhere(500);
    expect(await feeder.round()).toBe(100);
    expect(backfills[0]!.cursor).toEqual({ file: 0, record: 600 });
    expect([opened, fed.length]).toEqual([1, 200]);
    elsewhere(700);
    // at a rate the page behind is refused as long as the run rests
    backfills[0]!.maxRate = 100;
    expect(await feeder.round()).toBe(100);
    expect([backfills[0]!.cursor, opened]).toEqual([{ file: 0, record: 800 }, 1]);
    backfills[0]!.maxRate = null;
    elsewhere(850);
    await feeder.round();
    await feeder.round();
    expect(backfills[0]!.cursor).toEqual({ file: 0, record: 950 });
    expect(opened).toBe(2);
    await feeder.close();
  });

  test("pauses one that cannot go on, waits for what is away, and feeds the others", async () => {
    const backfills = [run("1"), run("2"), run("3")];
    const { deps, feeder, failed, fed } = world(backfills, 10, {});
    const pages = deps.pages;
    deps.pages = (backfill, size) => {
      if (backfill.id === "1") return throwing(new ConfigError("no such list"));
      if (backfill.id === "2") return throwing(new UpstreamError("STORE_UNAVAILABLE", "away"));
      return pages(backfill, size);
    };
    expect(await feeder.round()).toBe(10);
    expect(failed).toEqual(["1", "away"]);
    expect(backfills.map(({ id }) => id)).toEqual(["2", "3"]);
    deps.pages = pages;
    expect(await feeder.round()).toBe(10);
    expect(fed).toHaveLength(20);
  });

  test("pauses one of which Postgres refuses what it names, and feeds the others", async () => {
    const backfills = [run("1"), run("2"), run("3")];
    const { deps, feeder, failed } = world(backfills, 10);
    const { feed } = deps;
    const codes: Record<string, string> = { 1: "22P05", 2: "54000" };
    deps.feed = async (backfill, ...page) => {
      const code = codes[backfill.id];
      if (code) throw Object.assign(new Error("of no use"), { code });
      return feed(backfill, ...page);
    };
    expect(await feeder.round()).toBe(10);
    expect(failed).toEqual(["1", "2"]);
    expect(backfills.map(({ id }) => id)).toEqual(["3"]);
  });

  test("pauses one that it does not understand, with why, and feeds the others", async () => {
    const strange = { kind: "photos", upTo: "9", colour: "red" } as never;
    const backfills = [
      run("1", { what: strange }),
      run("2", { hours: "9" }),
      run("3", { rendition: "small.jpg" }),
      run("4"),
    ];
    const { deps, feeder, failed, fed } = world(backfills, 10);
    const { fail } = deps;
    const whys: string[] = [];
    deps.fail = (id, why) => {
      whys.push(why);
      return fail(id, why);
    };
    expect(await feeder.round()).toBe(10);
    expect(fed).toHaveLength(10);
    expect(failed).toEqual(["1", "2", "3"]);
    expect(whys).toEqual([
      expect.stringMatching(/^CONFIG_INVALID: selector: /),
      expect.stringMatching(/^CONFIG_INVALID: hours: expected two hours/),
      expect.stringMatching(/^CONFIG_INVALID: rendition template: /),
    ]);
    expect(backfills.map(({ id }) => id)).toEqual(["4"]);
  });

  test("feeds failed photos again page by page before anything new, also of one that was read to its end", async () => {
    const backfills = [run("1", { retrying: true }), run("2", { readAll: true, retrying: true })];
    const { deps, feeder, queue } = world(backfills, 3);
    const left = new Map([
      ["1", ["a", "b", "c"]],
      ["2", ["d"]],
    ]);
    deps.retry = async (id) => {
      const keys = left.get(id)!.splice(0, 2);
      backfills.find((each) => each.id === id)!.retrying = left.get(id)!.length > 0;
      return keys.map((key) => ({ id: key, store: "s3", bucket: "b", key, version: "", known: {} }));
    };
    await feeder.round();
    await feeder.round();
    expect(queue).toEqual(["a", "b", "d", "c", "1:0", "1:1", "1:2"]);
    expect(await feeder.round()).toBe(0);
  });

  test("queues what was fed before it started, and once more after ten minutes", async () => {
    const asked: number[] = [];
    const { state, feeder, queue } = world([], 0, {
      async *waitingPhotos(olderThanS) {
        asked.push(olderThanS);
        yield [{ id: "9", store: "s3", bucket: "b", key: "9", version: "", known: {} }];
      },
    });
    await feeder.round();
    await feeder.round();
    state.now += 600_000;
    await feeder.round();
    expect(asked).toEqual([0, 600]);
    expect(queue).toEqual(["9", "9"]);
  });

  test("queues again what the queue has lost, within seconds, and what waits in another's queue not without end", async () => {
    const asked: number[] = [];
    const photo = (id: string) => ({
      id,
      store: "s3" as const,
      bucket: "b",
      key: id,
      version: "",
      known: {},
    });
    const { state, feeder, queue } = world([], 0, {
      waiting: async () => 5,
      async *waitingPhotos(olderThanS) {
        asked.push(olderThanS);
        yield ["1", "2", "3", "4", "5"].map(photo);
      },
    });
    await feeder.round();
    // what is about to be queued, or was judged just now, is not lost
    queue.splice(3);
    await feeder.round();
    expect(asked).toEqual([0]);
    queue.splice(2);
    await feeder.round();
    expect(asked).toEqual([0, 5]);
    expect(queue).toHaveLength(7);
    queue.length = 0;
    state.now += 29_000;
    await feeder.round();
    expect(asked).toHaveLength(2);
    state.now += 1_000;
    await feeder.round();
    expect(asked).toEqual([0, 5, 5]);
  });

  async function* throwing(error: Error): AsyncGenerator<Page> {
    yield await Promise.reject(error);
  }
});

async function gather<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of all) found.push(each);
  return found;
}

test("the rate of a run is that since it was taken up last, and never below none", () => {
  let now = 0;
  const rate = createRate(() => now);
  const after = (s: number, state: "running" | "paused", fed: number, waiting: number) => {
    now += s * 1_000;
    return rate({ state, fed, waiting });
  };
  expect(after(0, "running", 10, 10)).toBe(0);
  expect(after(10, "running", 200, 100)).toBe(10);
  expect(after(1_000, "paused", 200, 100)).toBe(0);
  expect(after(1_000, "running", 200, 100)).toBe(0);
  expect(after(10, "running", 300, 100)).toBe(10);
  // failed photos are tried again
  expect(after(10, "running", 300, 150)).toBe(0);
  expect(after(10, "running", 300, 130)).toBe(2);
  // nobody looked meanwhile
  expect(after(100, "running", 300, 120)).toBe(0);
  expect(after(10, "running", 300, 110)).toBe(1);
});

test("progress says how much is left as far as that is known, and failures by code", () => {
  const row = {
    state: "running",
    what: { kind: "photos", upTo: "1000" },
    cursor: { after: "250" },
    readAll: false,
    expected: null,
    seen: 250,
    fed: 200,
    waiting: 60,
    judged: 139,
    skipped: 0,
    feeder: "feeds",
    worker: true,
  } as BackfillRow;
  const count = { before: "pending", beforeCategory: "", after: "failed", afterCategory: "" };
  const counts = [
    { ...count, code: "CORRUPT", photos: 2 },
    { ...count, code: "INTERNAL", photos: 1 },
  ];
  expect(statusLines(row, counts)).toContain(
    "136 judged, 3 failed, 60 waiting, 0 skipped, 1 replaced or forgotten before their turn, 25 % read",
  );
  const line = (but: Partial<BackfillRow>) => progressLine({ ...row, ...but }, counts, 10);
  expect(line({})).toBe(
    "running: 25 % read, 136 judged, 60 waiting, 10.0/s, 1 min 6 s left, 3 changed, failed: 2 CORRUPT, 1 INTERNAL",
  );
  expect(progressLine({ ...row, readAll: true }, counts, 0.0125)).toMatch(/ 0\.013\/s, 1 h 20 min left/);
  expect(line({ readAll: true })).toMatch(/^running: 136 judged, .* 6 s left/);
  expect(line({ what: { kind: "prefix", bucket: "b", prefix: "" } })).not.toMatch(/left|read/);
  expect(line({ cursor: null })).not.toMatch(/left/);
  // of a prefix as somebody counted it, as long as there are no more
  const prefix = { what: { kind: "prefix", bucket: "b", prefix: "" } };
  expect(line({ ...prefix, expected: 1_000 })).toMatch(/^running: 25 % read, .* 1 min 6 s left/);
  expect(line({ ...prefix, expected: 249 })).not.toMatch(/left|read/);
});

test("a run that waits for its hours says until when, as long as there is something to feed", () => {
  const row = {
    id: "7",
    state: "running",
    what: { kind: "prefix", bucket: "b", prefix: "" },
    hours: "22-06",
    maxRate: 500,
    readAll: false,
    expected: null,
    fed: 0,
    waiting: 0,
    judged: 0,
    skipped: 0,
    unreadable: 0,
  } as BackfillRow;
  const at = (hour: number): Date => new Date(2026, 0, 1, hour, 30);
  expect(progressLine(row, [], 0, at(12))).toMatch(/^running, waits until 22:00: 0 judged/);
  expect(progressLine(row, [], 0, at(23))).toMatch(/^running: 0 judged/);
  expect(statusLines(row, [], at(12))).toEqual([
    "backfill 7: s3://b/",
    "running, waits until 22:00",
    "0 judged, 0 failed, 0 waiting, 0 skipped, more to come",
    "fed at 22-06 of the feeder's clock, at most 500 photos/s",
    "0 got another verdict or category",
  ]);
  expect(statusLines({ ...row, hours: "24-06" }, [], at(12))[1]).toBe("running, waits until 00:00");
  expect(statusLines({ ...row, readAll: true }, [], at(12))[1]).toBe("running");
  expect(statusLines({ ...row, readAll: true, retrying: true }, [], at(12))[1]).toMatch(/until 22:00/);
  expect(statusLines({ ...row, state: "paused" }, [], at(12))[1]).toBe("paused");
});

test("a run that nobody works on says for whom it waits", () => {
  const run = { state: "running" as const, hours: null, readAll: false, retrying: false, waiting: 1 };
  const held = (but: Partial<Waiting>) =>
    heldBy({ ...run, feeder: "feeds", worker: true, ...but }, new Date());
  expect(held({})).toBeUndefined();
  expect(held({ feeder: "nobody", readAll: true })).toBe("waits for maitred feed or maitred up: none runs");
  expect(held({ feeder: "nobody", state: "done" })).toBeUndefined();
  expect(held({ feeder: "stands back" })).toBe(
    "waits for an upload that is older than MAITRED_LIVE_TARGET_MS",
  );
  // nothing more is to be fed
  expect(held({ feeder: "stands back", readAll: true })).toBeUndefined();
  const paused = "waits for the lane backfill, which is paused: maitred queue status says by whom";
  expect(held({ feeder: "lane paused" })).toBe(paused);
  expect(held({ feeder: "lane paused", readAll: true })).toBe(paused);
  expect(held({ feeder: "lane paused", readAll: true, waiting: 0 })).toBeUndefined();
  expect(held({ worker: false })).toBe("waits for a worker: none runs");
  expect(held({ worker: false, waiting: 0 })).toBeUndefined();
});

test("a selector is told in words, and one of another version is refused by name", () => {
  expect(inWords({ kind: "prefix", bucket: "b", prefix: "2019/" })).toBe("s3://b/2019/");
  expect(inWords(parseSelector({ kind: "photos", state: "failed", code: "CORRUPT", upTo: "9" }))).toBe(
    "photos: state failed, code CORRUPT",
  );
  expect(() => parseSelector({ kind: "photos", upTo: "9", colour: "red" })).toThrow(/selector/);
  expect(describeStored({ kind: "view", view: "v" })).toBe("view v");
  expect(describeStored({ kind: "stars" })).toBe('not understood: {"kind":"stars"}');
  expect(() => parseSelector({ kind: "view", view: "x; drop table photos" })).toThrow(/selector: view/);
});

test.each([
  [0, "0 s"],
  [59, "59 s"],
  [3_600, "1 h"],
  [90_061, "1 d 1 h"],
  [125, "2 min 5 s"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});
