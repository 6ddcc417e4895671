import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decide } from "../src/decide/decide.ts";
import { type Policy, parsePolicy, policyIdOf } from "../src/decide/policy.ts";
import { packageRoot } from "../src/package-root.ts";
import { feedBackfill } from "../src/store/backfill-feed.ts";
import { registerPhotos } from "../src/store/photos.ts";
import { keepPolicy } from "../src/store/policies.ts";
import { recordOutcomes } from "../src/store/verdicts.ts";
import type { Database } from "./fixtures.ts";
import { scored } from "./labels.ts";
import { CATEGORIES } from "./models.ts";

export const yaml = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
const shipped = parsePolicy(yaml, CATEGORIES, "shipped");

/** Score of the category, and of a human. */
export type Said = [category: string, score: number, human: number];

export async function judge(
  db: Database,
  said: Record<string, Said>,
  {
    by = "model:m-1",
    policy = shipped,
    text = yaml,
    fed = false,
    rendition = false,
  }: {
    by?: string;
    policy?: Policy;
    text?: string;
    fed?: boolean;
    rendition?: boolean;
  } = {},
): Promise<Record<string, string>> {
  const keys = Object.keys(said);
  const refs = keys.map((key) => ({ store: "s3" as const, bucket: "b", key, version: "", known: {} }));
  const photos = await registerPhotos(db.pool, refs, "live");
  await keepPolicy(db.pool, { id: policyIdOf(text), yaml: text, thresholds: policy.categories });
  await recordOutcomes(
    db.pool,
    photos.map(({ id, key }) => {
      const scores = scored(...said[key]!);
      const result = { scores, decision: decide(scores, policy), ...(rendition && { rendition }) };
      return {
        photoId: id,
        known: {},
        batch: "t-1",
        by,
        policy: policyIdOf(text),
        ...(fed && { fed }),
        result,
      };
    }),
  );
  return Object.fromEntries(photos.map(({ key, id }) => [key, id]));
}

/** What the product sees of every photo: state, category, who decided, and tags. */
export async function seen(db: Database): Promise<Record<string, unknown>> {
  const { rows } =
    await db.pool.query(`select key, state, p.category, human, rule, reason, failure, decided_by, decided_at, policy,
      array(select t.category || ' ' || t.score || ' >= ' || t.threshold || ' ' || t.model from tags t where t.photo_id = p.id order by 1) as tags
    from photos p order by key`);
  return Object.fromEntries(rows.map(({ key, ...rest }) => [key, rest]));
}

export const states = async (db: Database): Promise<string> =>
  Object.values(await seen(db))
    .map((each) => (each as { state: string }).state)
    .join(" ");

export const all = { kind: "photos", upTo: "1000" };

/** A run over stored scores that looked at so many photos, and is done. */
export const allOf = (seen: number) => ({ from: null, to: { after: "1000" }, seen, end: true });

export async function feedAll(db: Database, id: string): Promise<void> {
  const { rows } = await db.pool.query("select id from photos order by id");
  const ids = rows.map((row) => row.id);
  await feedBackfill(db.pool, id, null, { ids, cursor: { after: "x" }, end: true, unreadable: 0 });
}

export const before: Record<string, Said> = {
  a: ["food", 0.9, 0.01],
  b: ["food", 0.5, 0.3],
  c: ["ambience", 0.8, 0.9],
  d: ["other", 0.7, 0.01],
};
