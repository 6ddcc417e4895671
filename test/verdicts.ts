import { randomUUID } from "node:crypto";
import type { Decision } from "../src/http/desk/deps.ts";
import type { Verdict } from "../src/photo.ts";
import type { NewBackfill } from "../src/store/backfills.ts";
import { markQueued, recordEvents } from "../src/store/events.ts";
import { registerPhotos } from "../src/store/photos.ts";
import { decideReviews } from "../src/store/reviews.ts";
import { type Outcome, recordOutcomes } from "../src/store/verdicts.ts";
import { type Database, rows } from "./fixtures.ts";

/** Changes of photos, made as the product makes them. */
export async function register(
  db: Database,
  key: string,
  version = "etag:1",
  bucket = "photos",
): Promise<string> {
  const known = { listing: "42" };
  const [photo] = await registerPhotos(db.pool, [{ store: "s3", bucket, key, version, known }], "live");
  await markQueued(db.pool, [photo!.id]);
  return photo!.id;
}

type Judged = Outcome & { result: Extract<Outcome["result"], { scores: unknown }> };
export const judged = (photoId: string, verdict: Verdict, by = "model:m-1"): Judged => ({
  photoId,
  known: {},
  batch: "t-1",
  by,
  policy: "p1",
  result: {
    scores: { categories: { food: 0.75, menu: 0.25 }, human: 0.5 },
    decision: {
      verdict,
      rule: "clear",
      reason: "because",
      category: "food",
      tags: [{ category: "food", score: 0.75, threshold: 0.5 }],
    },
  },
});

/** Each call is another model's verdict, so that each is a change. */
export async function judge(db: Database, photoId: string, verdict: Verdict): Promise<void> {
  await recordOutcomes(db.pool, [judged(photoId, verdict, `model:m-${++models}`)]);
}

export const failed = (photoId: string, transient = false): Outcome => ({
  ...judged(photoId, "shown"),
  result: { failure: "CORRUPT", message: "no image", transient },
});

export async function fail(db: Database, photoId: string): Promise<void> {
  await recordOutcomes(db.pool, [failed(photoId)]);
}

export const decision = (photo: string, said: Partial<Decision> = {}): Decision => ({
  id: randomUUID(),
  photo,
  verdict: "hidden",
  category: null,
  human: null,
  note: null,
  asOf: null,
  appeal: null,
  ...said,
});

/** What a moderator decides; answers with the decision's id. */
export async function decide(
  db: Database,
  photo: string,
  said?: Partial<Decision>,
  by = "ann",
): Promise<string> {
  const made = decision(photo, said);
  const [answer] = await decideReviews(db.pool, by, [made]);
  if (answer!.outcome !== "done") throw new Error(`the decision was not done: ${answer!.outcome}`);
  return made.id;
}

/** The `asOf` of a page that was loaded now. */
export const loadedNow = async (db: Database): Promise<string> =>
  (await rows(db, "select max(id) as seen from verdicts"))[0].seen;

export async function removeObject(db: Database, key: string, bucket = "photos"): Promise<void> {
  const photo = { store: "s3", bucket, key, version: "" } as const;
  await recordEvents(db.pool, [{ ...photo, kind: "removed", order: null, known: {} }], "right");
}

/** A backfill of all photos, which its model shall judge. */
export const ofAll: NewBackfill = {
  what: { kind: "photos", upTo: "1000000" },
  model: "model:m-2",
  again: false,
  propose: false,
  maxRate: null,
  hours: null,
  startedBy: "me",
};

let models = 0;
