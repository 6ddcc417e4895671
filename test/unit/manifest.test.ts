import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ManifestRecord, readManifest } from "../../src/backfill/manifest.ts";
import { ConfigError, UpstreamError } from "../../src/errors.ts";
import { gather } from "../pages.ts";

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
      { etag: '"e1"', listing: "l".repeat(1_001), uploader: "user", claimed: "c".repeat(1_001) },
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
    // nor what no index could
    expect(records[3]!.photo!.known).toEqual({ uploader: "user" });
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
