-- Up Migration

-- Whether what p_by says is what a backfill of p_model asks for: that model or the active one says it, or none is active. Right after a promotion
-- workers still run the model before, of which a backfill wants nothing.
create function settles(p_by text, p_model text) returns boolean language sql stable as $$
  select p_by = p_model or p_by = coalesce((select 'model:' || id from models where state = 'active'), p_by)
$$;

-- As in 0024_hidden_copies.sql, but that a photo of a backfill waits on, and is fed again, where what was said settles nothing. A failure says
-- nothing of a model; and what a cancelled run left in the queue is its own whoever judges it, as nothing would be waited for without end.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean, held text) language plpgsql as $$
declare
  items jsonb;
  waiting_on backfill_photos[];
  committed bigint[];
  altered bigint[];
begin
  -- so that what a moderator hides of them meanwhile is seen
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;
  -- or waits until this is committed: see hold_copies_of
  perform pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'));
  items := hold_hidden(p_items);
  -- put back below: commit_verdicts settles whatever waits for a photo
  with aside as (
    delete from backfill_photos w using backfills b, jsonb_to_recordset(items) as i (id bigint, by text, verdict text, backfill bigint)
    where w.photo_id = i.id and b.id = w.backfill_id
      and i.backfill is null and i.verdict <> 'failed' and not settles(i.by, b.model) and b.state <> 'cancelled'
    returning w
  )
  select array_agg(a.w) into waiting_on from aside a;
  select array_agg(c.photo_id), array_agg(c.photo_id) filter (where c.changed) into committed, altered from commit_verdicts(items) c;
  insert into backfill_photos select * from unnest(waiting_on) on conflict do nothing;
  altered := altered || array(
    select hold_copies(array(select r.id from jsonb_to_recordset(items) as r (id bigint, rule text) where r.rule = 'hidden-copy')));
  return query
  select i.id, i.id = any (altered), case when i.id = any (altered) and i.rule = 'hidden-copy' then i.reason end from (
    -- of one that is there twice, the one that counts
    select distinct on (r.id) r.* from jsonb_to_recordset(items) as r (id bigint, rule text, reason text, fed boolean, rendition boolean)
    order by r.id, r.fed is true, r.rendition is true
  ) i where i.id = any (committed);
end $$;
