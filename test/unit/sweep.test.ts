import fc from "fast-check";
import { expect, test } from "vitest";
import { type ListedObject, reconcileRange } from "../../src/intake/reconcile-range.ts";
import { type Committed, type SweepDeps, sweep } from "../../src/intake/sweep.ts";
import { compareKeys } from "../../src/key-order.ts";

const KEYS = ["", "a", "a/", "a/b", "Z", "f", "é", "~", "\uFB00", "😀", "zz"].map((key) => `k${key}`);
const objectOf = (key: string): ListedObject => ({
  key,
  etag: `e-${key}`,
  versionId: undefined,
  modifiedAt: new Date(0),
});
const NOTHING = { listed: 0, known: 0, missed: 0, gone: 0, young: 0, unclear: 0 };

/** A bucket that lists its keys in this order, in pages of this size, and a table that knows some keys. */
function world(listed: readonly string[], known: Set<string>, pageSize: number): SweepDeps {
  const rowsOf = (keys: readonly string[]) => keys.map((key) => ({ key, versions: [`etag:e-${key}`] }));
  return {
    async *pages() {
      for (let start = 0; start === 0 || start < listed.length; start += pageSize) {
        const objects = listed.slice(start, start + pageSize).map(objectOf);
        yield { objects, upTo: start + pageSize < listed.length ? objects.at(-1)!.key : undefined };
      }
    },
    known: async (after, upTo, limit) =>
      rowsOf(
        [...known]
          .filter((key) => compareKeys(key, after) > 0 && (upTo === undefined || compareKeys(key, upTo) <= 0))
          .sort(compareKeys)
          .slice(0, limit),
      ),
    knownOf: async (keys) => rowsOf(keys.filter((key) => known.has(key))),
    countKnown: async () => known.size,
    states: async (keys) => keys.map((key) => ({ key, state: "", seen: known.has(key) })),
    look: async (key) => (listed.includes(key) ? objectOf(key) : "absent"),
    requireBucket: async () => {},
    room: async () => {},
    async commit({ items }) {
      const done: Committed = { missed: 0, gone: 0, known: 0, unclear: 0 };
      for (const { kind, key } of items) {
        if (kind === "removed") done.gone += Number(known.delete(key));
        else if (known.has(key)) done.unclear++;
        else {
          known.add(key);
          done.missed++;
        }
      }
      return done;
    },
  };
}

test("what is gone is withdrawn, also where much of it lies between two keys of the listing", async () => {
  const keys = Array.from({ length: 5_000 }, (_, n) => `k${String(n).padStart(5, "0")}`);
  const [listed, known] = [keys.filter((_, n) => n % 2_500 === 0), new Set(keys)];
  const rules = { graceMs: 0, versions: false, allowRemovals: true };
  const { signal } = new AbortController();
  const from = { cursor: "", ...NOTHING };
  const swept = await sweep(world(listed, known, 10), rules, from, signal, () => {});
  expect(swept).toMatchObject({ listed: 2, missed: 0, gone: 4_998, unclear: 0 });
});

test.each([
  { known: 100, gone: 100, refused: undefined },
  { known: 1_009, gone: 101, refused: { removals: 101, known: 1_009 } },
  { known: 2_000, gone: 200, refused: undefined },
  { known: 2_000, gone: 201, refused: { removals: 201, known: 2_000 } },
])(
  "of $known photos, $gone that are gone, a few on each page, are withdrawn unless they are too many",
  async ({ known, gone, refused }) => {
    const keys = Array.from({ length: known }, (_, n) => `k${String(n).padStart(5, "0")}`);
    const each = Math.floor(known / gone);
    const listed = keys.filter((_, n) => n % each !== 0 || n >= gone * each);
    const rules = { graceMs: 0, versions: false, allowRemovals: false };
    const { signal } = new AbortController();
    const from = { cursor: "", ...NOTHING };
    const swept = await sweep(world(listed, new Set(keys), 5), rules, from, signal, () => {});
    expect(swept.refused).toEqual(refused);
    if (!refused) expect(swept.gone).toBe(gone);
  },
);

test("the key to begin behind, which some stores list again, is not counted again", async () => {
  const rules = { graceMs: 0, versions: false, allowRemovals: false };
  const { signal } = new AbortController();
  const from = { cursor: "ka", ...NOTHING };
  const swept = await sweep(world(["ka", "kb"], new Set(["ka", "kb"]), 2), rules, from, signal, () => {});
  expect(swept).toMatchObject({ listed: 1, known: 1 });
});

test("an object whose key is longer than any event may say is passed over, and ends no sweep", async () => {
  const rules = { graceMs: 0, versions: false, allowRemovals: false };
  const { signal } = new AbortController();
  const listed = ["ka", `kb${"b".repeat(1_024)}`, "kc"];
  const swept = await sweep(world(listed, new Set(), 2), rules, { cursor: "", ...NOTHING }, signal, () => {});
  expect(swept).toMatchObject({ listed: 2, missed: 2 });
});

test.each([
  [
    "is young by now",
    "ka",
    true,
    { ...objectOf("ka"), etag: "newer", modifiedAt: new Date(8.64e15) },
    { young: 1 },
  ],
  ["was listed by a name that it does not have", "k\u0001", false, "absent", { unclear: 1 }],
] as const)("what %s is left alone, once it is looked at", async (_what, key, seen, look, counts) => {
  const deps = {
    states: async (keys: readonly string[]) => keys.map((each) => ({ key: each, state: "", seen })),
    look: async () => look,
    requireBucket: async () => {},
  };
  const rules = { graceMs: 60_000, versions: false };
  const known = seen ? [{ key, versions: ["etag:older"] }] : [];
  const said = await reconcileRange(deps, rules, [objectOf(key)], known);
  expect(said).toEqual({ counts: { listed: 1, known: 0, young: 0, unclear: 0, ...counts }, items: [] });
});

test("a sweep that ends while it waits for room commits nothing more", async () => {
  const ending = new AbortController();
  const known = new Set<string>();
  const deps = { ...world(["ka"], known, 1), room: async () => ending.abort(new Error("it ends")) };
  const rules = { graceMs: 0, versions: false, allowRemovals: false };
  const swept = sweep(deps, rules, { cursor: "", ...NOTHING }, ending.signal, () => {});
  await expect(swept).rejects.toThrow("it ends");
  expect(known.size).toBe(0);
});

test("whatever the order of a listing, and wherever its pages end, the table has what the bucket has", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(KEYS),
      fc.subarray(KEYS),
      fc.integer({ min: 1, max: KEYS.length }),
      async (listed, before, pageSize) => {
        // a folder's marker is no photo
        const photos = listed.filter((key) => !key.endsWith("/"));
        const known = new Set(before.filter((key) => !key.endsWith("/")));
        const missed = photos.filter((key) => !known.has(key)).length;
        const gone = [...known].filter((key) => !listed.includes(key)).length;
        const rules = { graceMs: 0, versions: false, allowRemovals: true };
        const { signal } = new AbortController();
        const from = { cursor: "", ...NOTHING };
        const swept = await sweep(world(listed, known, pageSize), rules, from, signal, () => {});
        expect(swept).toMatchObject({ listed: photos.length, missed, gone, unclear: 0 });
        expect([...known].sort()).toEqual(photos.toSorted());
        const inOrder = listed.every((key, index) => index === 0 || compareKeys(listed[index - 1]!, key) < 0);
        if (inOrder) expect(swept.unordered).toBeUndefined();
      },
    ),
  );
});
