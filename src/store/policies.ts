import type { ScanPage } from "../backfill/pages.ts";
import type { Decided } from "../backfill/redecide.ts";
import { nextAfter, rangeEnd } from "./id-range.ts";
import { ALIVE } from "./models.ts";
import { type Pool, query } from "./pool.ts";

interface PolicyRow {
  /** What `photos.policy` and `verdicts.policy` say. */
  id: string;
  yaml: string;
  /** By category, 0..1. */
  thresholds: Readonly<Record<string, number>>;
}

/** Keeps what a policy says, so that its verdicts can be explained and restored; known already, it stays as it is. */
export async function keepPolicy(db: Pool, { id, yaml, thresholds }: PolicyRow): Promise<void> {
  await query(db, {
    name: "keep_policy",
    text: "insert into policies (id, yaml, thresholds) values ($1, $2, $3) on conflict do nothing",
    values: [id, yaml, JSON.stringify(thresholds)],
  });
}

/** Every policy that ever gave a verdict here, by id. */
export async function readPolicies(db: Pool): Promise<Map<string, PolicyRow>> {
  const rows = await query<PolicyRow>(db, {
    name: "read_policies",
    text: "select id, yaml, thresholds from policies",
  });
  return new Map(rows.map((row) => [row.id, row]));
}

/** The policies of the workers that run and have said it. A pinned one keeps to its model. */
export async function readWorkerPolicies(
  db: Pool,
): Promise<{ worker: string; pinned: boolean; policy: string; yaml: string }[]> {
  return query(db, {
    name: "read_worker_policies",
    text: `select m.worker, m.pinned, p.id as policy, p.yaml
      from model_workers m join policies p on p.id = m.figures ->> 'policy' where ${ALIVE} order by m.worker`,
  });
}

/** A current photo that a model has decided, and what the model said. */
export interface ScoredPhoto extends Decided {
  bucket: string;
  key: string;
  /** `model:NAME`. */
  by: string;
  /** True where they are of a rendition. */
  rendition: boolean | null;
}

/**
 * Photos with stored scores whose verdict another policy than `policy` gave, in the order of their ids, at most `limit`. As
 * selectPhotos it looks at a bounded stretch of ids: where the policy has decided nearly all of a large table already, one
 * statement over the rest of it would take longer than a statement may.
 */
export async function scoredPhotos(
  db: Pool,
  policy: string,
  after: string,
  upTo: string,
  limit: number,
): Promise<ScanPage<ScoredPhoto>> {
  const to = rangeEnd(after, upTo);
  const found = await query<ScoredPhoto>(db, {
    name: "scored_photos",
    text: `select p.id, p.bucket, p.key, p.state, p.category, p.decided_by as by, p.policy, v.human, v.scores, v.rendition
      from photos p
      join lateral (
        select human, scores, rendition from verdicts v where v.photo_id = p.id order by v.id desc limit 1
      ) v on true
      where p.id > $2 and p.id <= $3 and p.superseded_at is null and p.state in ('shown', 'hidden', 'review')
        and p.decided_by like 'model:%' and p.policy is distinct from $1 and v.scores is not null and v.human is not null
      order by p.id limit $4`,
    values: [policy, after, to, limit],
  });
  return { found, ...nextAfter(found, limit, to, upTo) };
}
