import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { versionOf } from "../../src/version.ts";
import { HAS_MOTO } from "../moto.ts";
import { counts, found, test } from "../sweeps.ts";

describe.skipIf(!HAS_MOTO)("in a bucket that keeps versions", () => {
  test("a photo is its version: a marker withdraws it, and an older version that is the latest again replaces it", async ({
    bench,
  }) => {
    const { put, remove, told, sweep, current, s3, bucket } = await bench("moto", true);
    const [one, two] = [await put("a", "1"), await put("a", "2")];
    expect(one).not.toMatch(/^etag:/);
    await told("created", "a", one, "1");
    expect(counts(await sweep())).toEqual(found({ listed: 1, missed: 1 }));
    expect(await current()).toEqual([`a ${two}`]);
    expect(counts(await sweep())).toEqual(found({ listed: 1, known: 1 }));
    await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: "a", VersionId: two }));
    expect(counts(await sweep())).toEqual(found({ listed: 1, missed: 1 }));
    expect(await current()).toEqual([`a ${one}`]);
    await remove("a");
    expect(counts(await sweep())).toEqual(found({ gone: 1 }));
    expect(await current()).toEqual([]);
    const answer = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    expect(answer.DeleteMarkers).toHaveLength(1);
  });

  test("objects from before, and photos that are known by their etag, are the same ones", async ({
    bench,
  }) => {
    const { put, told, sweep, s3, bucket } = await bench("moto", false);
    const before = await put("before");
    await told("created", "before", before, "1");
    expect(before).toMatch(/^etag:/);
    const on = { Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } } as const;
    await s3.send(new PutBucketVersioningCommand(on));
    const { ETag } = await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "etag", Body: "x" }));
    await told("created", "etag", versionOf(undefined, ETag), "1");
    expect(counts(await sweep())).toEqual(found({ listed: 2, known: 2 }));
  });
});

describe.skipIf(!HAS_MOTO)("keys of any kind", () => {
  test("are swept in the order of their bytes, in pages that end anywhere", async ({ bench }) => {
    const { put, sweep, db } = await bench("moto");
    const keys = [
      "a+b",
      "a b",
      "a%b",
      "a%20b",
      "a\u0001b",
      "a\rb",
      "é",
      "f",
      "🍜",
      "\uffee",
      "z&<>'\"",
      "日本/語",
    ];
    for (const key of keys) await put(key);
    expect(counts(await sweep({ pageSize: 2 }))).toEqual(found({ listed: keys.length, missed: keys.length }));
    const { rows } = await db.pool.query(`select key from photos`);
    expect(rows.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(counts(await sweep({ pageSize: 5 }))).toEqual(found({ listed: keys.length, known: keys.length }));
  });
});

describe("after any history of which events were lost", () => {
  type Op = { key: string; what: "put" | "remove"; body: string; lost: boolean };
  const history: fc.Arbitrary<Op[]> = fc.array(
    fc.record({
      key: fc.constantFrom("a", "b", "c", "d/e", "d/f", "g"),
      what: fc.constantFrom("put", "put", "remove"),
      body: fc.constantFrom("1", "2", "3"),
      lost: fc.boolean(),
    }),
    { minLength: 1, maxLength: 15 },
  );

  test.for([["fauxqs", false] as const, ...(HAS_MOTO ? ([["moto", true]] as const) : [])])(
    "a sweep of %s (versions: %s) brings Postgres to what the bucket holds, and a second finds nothing",
    { timeout: 120_000 },
    async ([server, versions], { bench }) => {
      const { put, remove, told, sweep, current } = await bench(server, versions);
      const holds = new Map<string, string>();
      let order = 1;
      await fc.assert(
        fc.asyncProperty(history, fc.constantFrom(1, 2, 1_000), async (ops, pageSize) => {
          for (const { key, what, body, lost } of ops) {
            const number = (order++).toString(16).padStart(8, "0");
            if (what === "put") {
              const version = await put(key, body);
              holds.set(key, version);
              if (!lost) await told("created", key, version, number);
            } else {
              await remove(key);
              holds.delete(key);
              if (!lost) await told("removed", key, "", number);
            }
          }
          const first = await sweep({ pageSize });
          expect(first).toMatchObject({ finished: true, unclear: 0, young: 0 });
          expect(await current()).toEqual(
            [...holds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, version]) => `${key} ${version}`),
          );
          expect(counts(await sweep())).toEqual(found({ listed: holds.size, known: holds.size }));
        }),
        { numRuns: 12 },
      );
    },
  );
});
