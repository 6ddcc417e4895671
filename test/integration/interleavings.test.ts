import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { random as randomly } from "../../src/evaluate/statistics.ts";
import { endBackfills, feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  changeBackfill,
  discardProposals,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { addDestination } from "../../src/store/destinations.ts";
import { keepPolicy, scoredPhotos } from "../../src/store/policies.ts";
import { decideReviews, undoReview } from "../../src/store/reviews.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { register } from "../verdicts.ts";

const ROUNDS = 10;
const WORKERS = 6;
/** Of each worker in a round; the photos are looked at after each. */
const ACTS = 3;
const MODELS = ["model:m-1", "model:m-2"];
const THRESHOLDS = { p1: { food: 0.3, menu: 0.3 }, p2: { food: 0.6, menu: 0.6 } };
type Policy = keyof typeof THRESHOLDS;

/** What everybody does who may change a verdict, to a few photos. */
function createActs(db: Database, photos: readonly string[], random: () => number) {
  const decisions: { id: string; by: string }[] = [];
  const runs: string[] = [];
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const some = (): string[] => photos.filter(() => random() < 0.5);
  // it may not be over yet, or be cancelled, or have been rolled back
  const unlessRefused = (act: Promise<unknown>): Promise<unknown> =>
    act.catch((thrown: { code?: string }) => expect(thrown.code).toBe("CONFIG_INVALID"));

  function judged(photoId: string, fed?: true): Outcome {
    const about = {
      photoId,
      known: {},
      batch: "t",
      by: one(MODELS),
      policy: one(["p1", "p2"]),
      ...(fed && { fed }),
    };
    if (random() < 0.15) {
      return { ...about, result: { failure: "CORRUPT", message: "bad", transient: random() < 0.5 } };
    }
    const food = Math.round(random() * 100) / 100;
    const scores = { categories: { food, menu: Math.round((1 - food) * 100) / 100 }, human: 0.5 };
    return {
      ...about,
      result: {
        ...decided(scores, about.policy as Policy),
        ...(fed && { rendition: random() < 0.5 }),
      },
    };
  }
  function decided(scores: { categories: { food: number; menu: number }; human: number }, policy: Policy) {
    const category = scores.categories.food >= 0.5 ? "food" : "menu";
    const tags = (["food", "menu"] as const).flatMap((each) => {
      const [score, threshold] = [scores.categories[each], THRESHOLDS[policy][each]];
      return score >= threshold ? [{ category: each, score, threshold }] : [];
    });
    const verdict = one(["shown", "hidden", "review"] as const);
    return { scores, decision: { verdict, rule: "clear" as const, reason: "because", category, tags } };
  }
  async function rollBack(id: string): Promise<void> {
    for (let after: string | undefined = "0"; after !== undefined; ) {
      after = (await rollbackBackfill(db.pool, id, after, "oda", 2))?.after;
    }
  }
  async function throughout(page: () => Promise<number>): Promise<void> {
    while ((await page()) > 0);
  }
  async function settle(): Promise<void> {
    // whoever is faster with one feeds it, and one may be stopped meanwhile
    for (const { id } of await rows(db, "select distinct backfill_id as id from backfill_retries order by 1"))
      await feedRetries(db.pool, id, 2);
    const waiting = await rows(db, "select distinct photo_id as id from backfill_photos order by 1");
    await recordOutcomes(
      db.pool,
      waiting.map(({ id }) => judged(id, true)),
    );
    await endBackfills(db.pool);
  }
  const acts: (() => Promise<unknown>)[] = [
    () =>
      recordOutcomes(
        db.pool,
        some().map((id) => judged(id)),
      ),
    async () => {
      const [id, by] = [randomUUID(), one(["ann", "bob"])];
      const said = { verdict: one(["shown", "hidden"] as const), category: one([null, "food", "menu"]) };
      const made = { id, photo: one(photos), ...said, human: null, note: null, asOf: null, appeal: null };
      expect(await decideReviews(db.pool, by, [made])).toMatchObject([{ outcome: "done" }]);
      decisions.push({ id, by });
    },
    async () => {
      // mostly the last ones: of older ones most were decided again since
      const made = one(decisions.slice(-8));
      if (made) await undoReview(db.pool, made.by, made.id, 0);
    },
    async () => {
      const what = { kind: "photos", upTo: "1000" };
      const run = { what, model: one(MODELS), again: random() < 0.5, propose: random() < 0.4 };
      const id = await addBackfill(db.pool, { ...run, maxRate: null, hours: null, startedBy: "oda" });
      runs.push(id);
      const page = { ids: some(), cursor: { after: "x" }, end: false, unreadable: 0 };
      await feedBackfill(db.pool, id, null, page);
      // while others settle the first
      await feedBackfill(db.pool, id, page.cursor, { ...page, ids: some(), end: true });
      await settle();
    },
    async () => {
      const policy = one(["p1", "p2"] as const);
      const run = { what: { kind: "policy", policy }, model: "", again: false, propose: random() < 0.3 };
      const id = await addBackfill(db.pool, { ...run, maxRate: null, hours: null, startedBy: "oda" });
      const { found: page } = await scoredPhotos(db.pool, policy, "0", "1000", 100);
      const anew = page.map(({ id: photoId, by, human, scores }) => {
        const result = decided({ categories: scores as { food: number; menu: number }, human }, policy);
        return { photoId, known: {}, batch: `policy-${id}`, by, policy, result };
      });
      const all = { from: null, to: { after: "1000" }, seen: page.length, end: true };
      expect(await recordAnew(db.pool, id, anew, all)).toBe(true);
      runs.push(id);
    },
    settle,
    async () => runs.length > 0 && unlessRefused(rollBack(one(runs))),
    async () => runs.length > 0 && unlessRefused(rollBack(runs.at(-1)!)),
    async () => {
      if (runs.length === 0) return;
      const id = one(runs.slice(-5));
      await unlessRefused(
        one([
          () => throughout(async () => (await applyProposals(db.pool, id, "0", "oda", 2))?.taken ?? 0),
          () => throughout(async () => (await discardProposals(db.pool, id, "0", "oda", 2))?.gone ?? 0),
          () => changeBackfill(db.pool, id, "cancelled", "oda", "no"),
          () => retryBackfill(db.pool, id, undefined, "oda"),
        ])(),
      );
    },
  ];
  return { any: () => one(acts)(), settle };
}

interface Row {
  id: string;
  verdict: string;
  rule: string;
  category: string | null;
  scores: Record<string, number> | null;
  by: string;
  policy: Policy | null;
  counts: boolean;
  decision: { undone: boolean; tags: { category: string; score: number; model: string }[] } | null;
}

/** The history of a photo, oldest first; a row counts unless it was taken back, or says that another one stands again. */
const historyOf = (db: Database, photo: string): Promise<Row[]> =>
  rows(
    db,
    `select v.id, v.verdict, v.rule, v.category, v.scores, v.decided_by as by, v.policy,
      v.rule <> 'undo' and coalesce(b.outcome, '') <> 'rolled back' and d.undone_at is null as counts,
      case when d.id is not null then jsonb_build_object('undone', d.undone_at is not null, 'tags', d.before -> 'tags') end as decision
    from verdicts v left join backfills b on b.id = v.backfill_id left join review_decisions d on d.verdict_id = v.id
    where v.photo_id = $1 order by v.id`,
    photo,
  );

function tagsOf({ rule, category, scores, by, policy, decision }: Row): string[] {
  if (rule === "moderator" && category === null) return decision!.tags.map(asText);
  if (rule === "moderator") return [asText({ category: category!, score: 1, model: by })];
  return Object.entries(scores ?? {})
    .filter(([each, score]) => score >= THRESHOLDS[policy!][each as "food"])
    .map(([each, score]) => asText({ category: each, score, model: by }));
}
const asText = ({ category, score, model }: { category: string; score: number; model: string }): string =>
  `${category} ${score} ${model}`;

async function expectRight(db: Database, id: string): Promise<void> {
  const history = await historyOf(db, id);
  const [photo] = await rows(
    db,
    `select state, decided_by as by, policy, array(
        select concat_ws(' ', category, score, model) from tags where photo_id = p.id order by category) as tags
      from photos p where id = $1`,
    id,
  );
  const told = await rows(
    db,
    "select payload ->> 'state' as state, payload ->> 'by' as by from outbox where photo_id = $1 order by seq desc limit 1",
    id,
  );
  const standing = history.findLast(({ counts }) => counts);
  const about = `photo ${id} of\n${history.map((row) => JSON.stringify(row)).join("\n")}\n`;
  expect([photo.state, photo.by, photo.policy], about).toEqual(
    standing ? [standing.verdict, standing.by, standing.policy] : ["pending", null, null],
  );
  // what stands again is in history once more
  if (standing) expect([history.at(-1)!.verdict, history.at(-1)!.by], about).toEqual([photo.state, photo.by]);
  expect(photo.tags, about).toEqual(standing ? tagsOf(standing).sort() : []);
  if (history.length > 0) expect(told[0], about).toEqual({ state: photo.state, by: photo.by });
  const decided = history.findIndex(({ decision }) => decision?.undone === false);
  if (decided >= 0) for (const { by } of history.slice(decided)) expect(by, about).toMatch(/^moderator:/);
}

test.for([1, 2, 3, 4, 5, 6])(
  "whoever judges, decides, takes back, applies and rolls back at once, the verdict is the last that counts (seed %i)",
  { timeout: 60_000 },
  async (seed, { db }) => {
    const random = randomly(seed);
    const to = { id: "w", kind: "webhook", bucket: null, url: "https://app.example" } as const;
    await addDestination(db.pool, to, "whsec_c2VjcmV0");
    for (const [id, thresholds] of Object.entries(THRESHOLDS))
      await keepPolicy(db.pool, { id, yaml: "", thresholds });
    const photos: string[] = [];
    for (const key of ["a", "b", "c", "d"]) photos.push(await register(db, key));
    const { any, settle } = createActs(db, photos, random);

    const work = async (): Promise<void> => {
      for (let act = 0; act < ACTS; act++) await any();
    };
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: WORKERS }, work));
      for (const id of photos) await expectRight(db, id);
    }
    while ((await rows(db, "select from backfills where state = 'running'")).length > 0) await settle();
    expect(await rows(db, "select * from backfill_photos")).toEqual([]);
    expect(await rows(db, "select * from backfill_retries")).toEqual([]);
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  },
);
