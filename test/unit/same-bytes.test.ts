import { describe, expect, test } from "vitest";
import { PhotoError, UpstreamError } from "../../src/errors.ts";
import { createScore, type KnownScores, type Scored } from "../../src/moderate/same-bytes.ts";
import type { Lane } from "../../src/photo.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** echo -n dinner | sha256sum */
const DINNER = "dda209044ad44962b012ececcc2cb2f7efd35c72d22465586e294b6493bc21c1";
const scores = { categories: { food: 1 }, human: 0 };

function start(known: Record<string, KnownScores> = {}) {
  const found: Lane[] = [];
  const looked: string[] = [];
  const score = createScore(
    async (digest) => {
      looked.push(digest);
      return known[digest];
    },
    (lane) => void found.push(lane),
  );
  return { score, found, looked };
}

describe("the same bytes", () => {
  test("are judged where nobody knows them, and whoever is judged leaves their digest", async () => {
    const { score, found, looked } = start();
    const judged = await score("1", bytes("dinner"), "live", async () => ({ scores, batch: "b-1" }));
    expect(judged).toEqual({ scores, batch: "b-1", digest: DINNER });
    expect([looked, found]).toEqual([[DINNER], []]);
  });

  test("have the scores that are known of them, without being judged, and leave no digest again", async () => {
    const { score, found } = start({ [DINNER]: { photoId: "7", scores } });
    const never = () => Promise.reject(new Error("judged"));
    expect(await score("1", bytes("dinner"), "backfill", never)).toEqual({
      scores,
      batch: "same-7",
      copyOf: DINNER,
    });
    expect(found).toEqual(["backfill"]);
  });

  test("in hand together have the scores of whoever was judged, where those are known before", async () => {
    const { score } = start({ [DINNER]: { photoId: "7", scores } });
    const never = () => Promise.reject(new Error("judged"));
    const both = ["1", "2"].map((photo) => score(photo, bytes("dinner"), "live", never));
    const same = { scores, batch: "same-7", copyOf: DINNER };
    expect(await Promise.all(both)).toEqual([same, same]);
  });

  test("in hand together are judged once, each lane for itself", async () => {
    const { score, found } = start();
    const runs: string[] = [];
    const gates: (() => void)[] = [];
    const judge = (name: string) => async (): Promise<Scored> => {
      runs.push(name);
      await new Promise<void>((resolve) => gates.push(resolve));
      return { scores, batch: name };
    };
    const all = Promise.all([
      score("1", bytes("dinner"), "backfill", judge("backfill")),
      score("2", bytes("dinner"), "live", judge("live")),
      score("3", bytes("dinner"), "live", judge("never")),
      score("4", bytes("lunch"), "live", judge("lunch")),
      score("5", bytes("dinner"), "backfill", judge("never")),
    ]);
    await expect.poll(() => gates.length).toBe(3);
    for (const open of gates) open();
    expect((await all).map(({ batch }) => batch)).toEqual(["backfill", "live", "same-2", "lunch", "same-1"]);
    expect(runs.sort()).toEqual(["backfill", "live", "lunch"]);
    expect(found.sort()).toEqual(["backfill", "live"]);
    // nothing is kept in memory afterwards
    const after = score("6", bytes("dinner"), "live", async () => ({ scores, batch: "after" }));
    expect(await after).toMatchObject({ batch: "after" });
  });

  test.each([
    new PhotoError("CORRUPT", "no image"),
    new UpstreamError("INFERENCE_UNAVAILABLE", "the thread died"),
  ])("fail together with $code, and are judged again the next time", async (error) => {
    const { score } = start();
    const fails = () => Promise.reject(error);
    const both = await Promise.allSettled([
      score("1", bytes("dinner"), "live", fails),
      score("2", bytes("dinner"), "live", fails),
    ]);
    expect(both.map((each) => each.status === "rejected" && each.reason)).toEqual([error, error]);
    const after = score("3", bytes("dinner"), "live", async () => ({ scores, batch: "b-2" }));
    expect(await after).toMatchObject({ batch: "b-2", digest: DINNER });
  });
});
