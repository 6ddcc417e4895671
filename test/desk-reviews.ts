import type { LabelledPhoto } from "../src/label.ts";
import { reviewedPhotos } from "../src/store/labels.ts";
import type { Person } from "./desk.ts";
import type { Database } from "./fixtures.ts";

export interface Held {
  id: string;
  kind: string;
  asOf: string;
}

export const claim = async (person: Person, limit = 50, kinds?: string[], page = ""): Promise<Held[]> =>
  (await person.ask("POST", "/desk/api/review/claims", { limit, page, ...(kinds && { kinds }) })).body.photos;

export const decide = async (person: Person, ...decisions: object[]) =>
  (await person.ask("POST", "/desk/api/review/decisions", { decisions })).body.decisions;

export const undo = async (person: Person, decision: string) =>
  (await person.ask("POST", "/desk/api/review/undo", { decision })).body;

export const idsOf = (photos: readonly Held[]): string[] => photos.map(({ id }) => id);

export const photo = async (db: Database, id: string) =>
  (await db.pool.query("select * from photos where id = $1", [id])).rows[0];

export const tags = async (db: Database, id: string) =>
  (await db.pool.query("select * from tags where photo_id = $1 order by category", [id])).rows;

export const lapse = (db: Database) =>
  db.pool.query("update review_claims set until = now() - interval '1 second'");

export async function labels(db: Database): Promise<LabelledPhoto[]> {
  const all: LabelledPhoto[] = [];
  for await (const page of reviewedPhotos(db.pool, { since: new Date(0) })) all.push(...page);
  return all;
}
