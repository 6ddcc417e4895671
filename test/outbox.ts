import { rollbackBackfill } from "../src/store/backfills.ts";
import { claimDeliveries } from "../src/store/deliveries.ts";
import { addDestination } from "../src/store/destinations.ts";
import { undoReview } from "../src/store/reviews.ts";
import { recordOutcomes } from "../src/store/verdicts.ts";
import { type Database, rows } from "./fixtures.ts";
import { decide, judged } from "./verdicts.ts";

export const outbox = (db: Database) =>
  rows(db, "select seq, photo_id, kind, payload from outbox order by seq");
export const kinds = async (db: Database): Promise<string[]> => (await outbox(db)).map(({ kind }) => kind);

export const webhook = (db: Database, id = "w", bucket: string | null = null) =>
  addDestination(db.pool, { id, kind: "webhook", bucket, url: "https://app.example/hook" }, "whsec_c2VjcmV0");

export const claim = (db: Database, leaseS = 60) =>
  claimDeliveries(db.pool, {}, { each: 100, total: 100, leaseS });
export const delivered = { state: "delivered", note: null, waitMs: 0 } as const;

/** What ann decides; answers with what takes it back. */
export async function annDecides(db: Database, photo: string): Promise<() => Promise<unknown>> {
  const id = await decide(db, photo, { verdict: "shown", category: "menu" });
  return () => undoReview(db.pool, "ann", id, 60);
}

/** A backfill that showed these photos; answers with what rolls it back. */
export async function backfilled(db: Database, ids: string[]): Promise<() => Promise<unknown>> {
  const [{ id }] = await rows(
    db,
    `insert into backfills (what, model, started_by, state, ended_at) values ('{}', '', 'ann', 'done', now()) returning id`,
  );
  await recordOutcomes(
    db.pool,
    ids.map((photo) => ({ ...judged(photo, "shown", "model:m-9"), backfill: id })),
  );
  return () => rollbackBackfill(db.pool, id, "0", "ann");
}
