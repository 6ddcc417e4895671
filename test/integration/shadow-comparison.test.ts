import { expect } from "vitest";
import { registerModel, reportFigures, reportWorker } from "../../src/store/models.ts";
import { compareShadow, recordShadowScores } from "../../src/store/shadow.ts";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judged, register } from "../verdicts.ts";

test("a comparison lists photos that differ alone, and says how many were dropped", async ({ db }) => {
  const [same, other] = [await register(db, "same"), await register(db, "other")];
  await registerModel(db.pool, { id: "b-1", sha256: "0".repeat(64), measured: null }, "ann");
  const { scores, decision } = judged(same, "shown").result;
  const beside = { model: "a-1", scores, decision };
  const shadow = { model: "b-1", scores, decision };
  await recordShadowScores(db.pool, [
    { photoId: same, shadow: { ...shadow, scores: { ...scores, human: scores.human + 1e-4 } }, beside },
    { photoId: other, shadow: { ...shadow, decision: { ...decision, verdict: "hidden" } }, beside },
  ]);
  const compared = (await compareShadow(db.pool, undefined, 20))!;
  expect([compared.photos, compared.dropped]).toEqual([2, 0]);
  expect(compared.most.map(({ photoId }) => photoId)).toEqual([other]);
  for (const worker of ["a:1", "b:2"]) {
    const about = { model: "a-1", variant: "", provider: "cpu", pinned: false, problem: "" };
    await reportWorker(db.pool, { worker, ...about });
    await reportFigures(db.pool, worker, { shadowed: { judged: 1, dropped: 3, failed: 0 } });
  }
  const { out } = await ended(["model", "compare"], { DATABASE_URL: db.url });
  expect(out).toMatch(
    /^b-1 beside a-1, on 2 photos\nthe workers that run have dropped 6 more since they began/,
  );
});
