import type { DeskPhoto, DeskWholePhoto } from "../http/desk/deps.ts";
import { TOLD } from "./deliveries.ts";
import { type Pool, query } from "./pool.ts";

/** Those of these photos that exist, in this order. */
export async function readDeskPhotos(db: Pool, ids: readonly string[]): Promise<DeskPhoto[]> {
  const rows = await query<DeskPhoto>(db, {
    name: "read_desk_photos",
    text: `select ${COLUMNS} from photos p ${LATEST} where p.id = any($1)`,
    values: [ids],
  });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

export async function readWholePhoto(db: Pool, id: string): Promise<DeskWholePhoto | undefined> {
  const rows = await query<DeskWholePhoto>(db, {
    name: "read_whole_photo",
    text: `select ${COLUMNS}, to_json(p.superseded_at) as "withdrawnAt", p.failure, p.policy, ${HISTORY} from photos p ${LATEST} where p.id = $1`,
    values: [id],
  });
  return rows[0];
}

/** Who appealed. Whom a token names may be called as somebody at the desk is, so it is told whose word that is. */
const APPEALED_BY = `coalesce(
    (select case when a.by = l.who then '' else a.by || ', says ' end || 'token ' || coalesce(t.name, l.token)
      from (select who, substring(who from '^token:(.*)$') as token from audit_log
        where photo = a.photo_id and did = 'appealed' and at = a.at limit 1) l
      left join tokens t on t.id = l.token), a.by)`;

const COLUMNS = `p.id, p.store, p.bucket, p.key, p.version, p.superseded_at is null as current, p.listing, p.uploader,
  p.claimed, p.state, p.category, p.human, s.scores, s.model, p.rule, p.reason, p.decided_by as by,
  case when p.decided_by like 'moderator:%' then
    (select r.human from reviews r where r.photo_id = p.id order by r.verdict_id desc limit 1) end as "sawHuman",
  (select t.model from tags t where t.photo_id = p.id and t.category = p.category and t.model like 'moderator:%')
    as "categoryBy",
  to_json(p.registered_at) as "registeredAt", to_json(p.decided_at) as "decidedAt",
  coalesce((select max(id) from verdicts where photo_id = p.id), 0)::text as "asOf",
  (select json_build_object('reason', a.reason, 'by', ${APPEALED_BY}, 'at', a.at) from appeals a
    where a.photo_id = p.id and a.answered_at is null) as appeal,
  (select coalesce(json_agg(distinct s.who), '[]') from standing_passes() s where s.photo_id = p.id) as "unsureBy"`;

const LATEST = `left join lateral (
    select v.scores, substr(v.decided_by, 7) as model from verdicts v
    where v.photo_id = p.id and v.scores is not null order by v.id desc limit 1) s on true`;

const HISTORY = `
  coalesce((select json_agg(json_build_object('category', category, 'score', score, 'threshold', threshold, 'by', model)
    order by score desc, category) from tags where photo_id = p.id), '[]') as tags,
  coalesce((select json_agg(json_build_object('verdict', v.verdict, 'rule', v.rule, 'reason', v.reason,
      'category', v.category, 'human', v.human, 'scores', v.scores, 'by', v.decided_by, 'policy', v.policy, 'failure', v.failure,
      'tries', v.tries, 'at', v.decided_at, 'saw', (select json_build_object('human', r.human, 'audit', r.audit) from reviews r
        where r.verdict_id = v.id)) order by v.id)
    from (select * from verdicts where photo_id = p.id order by id desc limit 1000) v), '[]') as history,
  (select count(*)::int from verdicts where photo_id = p.id) as verdicts,
  coalesce((select json_agg(json_build_object('by', l.who, 'at', l.at) order by l.id)
    from (select * from audit_log where photo = p.id and did = 'rerun' order by id desc limit 100) l), '[]') as reruns,
  coalesce((select json_agg(json_build_object('by', s.who, 'at', s.passed_at) order by s.passed_at)
    from review_passes s where s.photo_id = p.id and s.undone_at is null), '[]') as passes,
  coalesce((select json_agg(json_build_object('model', s.model, 'verdict', s.verdict, 'category', s.category,
      'human', s.human, 'scores', s.scores, 'at', s.judged_at) order by s.judged_at)
    -- of each model through its key
    from models m join shadow_scores s on (s.model, s.photo_id) = (m.id, p.id)), '[]') as shadows,
  coalesce((select json_agg(json_build_object('reason', a.reason, 'by', ${APPEALED_BY}, 'at', a.at, 'answeredAt', a.answered_at)
    order by a.id) from appeals a where a.photo_id = p.id), '[]') as appeals,
  coalesce((select json_agg(json_build_object('destination', d.destination, 'to', d."to", 'kind', d.kind, 'state', d.state,
      'attempts', d.attempts, 'error', d.last_error, 'at', d.created_at, 'deliveredAt', d.delivered_at) order by d.seq desc)
    from (select d.*, ${TOLD} as "to", o.kind, o.created_at
      from outbox o join deliveries d using (seq) join destinations t on t.id = d.destination
      where o.photo_id = p.id order by seq desc limit 50) d), '[]') as deliveries`;
