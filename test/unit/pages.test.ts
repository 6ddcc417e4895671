import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { type Page, type PageDeps, pages } from "../../src/backfill/pages.ts";
import { ConfigError } from "../../src/errors.ts";
import { gather, keysOf, unused } from "../pages.ts";

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
