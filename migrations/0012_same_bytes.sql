-- Up Migration

-- What was judged, on the row that holds its scores, so that whoever erases the one erases the other.
--   digest     33 bytes of a row whose photo the model ran for, and nothing in others: those that took the scores over (their
--              batch is 'same-ID'), those that another policy or a moderator decided, and older ones. So a picture that is
--              uploaded a million times is there once. It is all of the SHA-256, of which the index holds 8 bytes: of these
--              alone two of half a billion photos would meet by chance, one time in a hundred and fifty, and on purpose
--              within minutes, and a photo that somebody made to meet a harmless one would be shown.
--   rendition  that a smaller copy was judged; its name follows from that of the photo and the template of the backfill.
-- The index is in src/store/indexes.ts: built while workers run. Until it is there, maitred migrate has not ended.
alter table verdicts add column digest bytea, add column rendition boolean;
comment on column verdicts.digest is 'SHA-256 of the bytes that the model judged; null where it did not run for this verdict';
comment on column verdicts.rendition is 'True where a rendition of the photo was judged, and not the photo itself';

alter table backfills add column rendition text;
comment on column backfills.rendition is 'Template of the keys that are read instead of the photos'', such as resized/{key}; null: none';

-- As in 0009, and items may also have digest and rendition, for the columns of these names.
create or replace function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
begin
  -- a statement of its own, so that the next one sees what a rival committed while this one waited
  perform 1 from photos p
  where p.id in (select (i ->> 'id')::bigint from jsonb_array_elements(p_items) i)
  order by p.id for update;

  return query
  with input as (
    select distinct on (i.id) i.*, e.item
    from jsonb_array_elements(p_items) as e (item), jsonb_to_record(e.item) as i (
      id bigint, verdict text, rule text, reason text, category text, human real, scores jsonb, tags jsonb,
      by text, policy text, batch text, known jsonb, failure text, transient boolean,
      lane text, backfill bigint, counted boolean, digest bytea, rendition boolean)
    order by i.id
  ), waiting as (
    delete from backfill_photos b using input i where b.photo_id = i.id
    returning b.photo_id, b.backfill_id
  ), settled as materialized (
    select x.photo_id, f.id as backfill_id, f.propose
    from (
      select w.photo_id, w.backfill_id from waiting w
      union
      select i.id, i.backfill from input i where i.backfill is not null and i.counted
    ) x join backfills f on f.id = x.backfill_id
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category,
      coalesce(input.backfill, (select max(s.backfill_id) from settled s where s.photo_id = input.id and not s.propose)) as of_backfill,
      coalesce((select bool_and(s.propose) from settled s where s.photo_id = input.id), false)
        and (input.lane is not distinct from 'backfill' or coalesce(input.counted, false)) as proposed,
      case
        when locked.decided_by like 'moderator:%' then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        else locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy
      end as differs
    from input join photos locked on locked.id = input.id
  ), changing as materialized (
    select * from wanted w where w.differs and not w.proposed
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = coalesce(p.listing, w.known ->> 'listing'),
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from changing w where p.id = w.id
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      digest, rendition)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch, w.failure, w.of_backfill,
      w.digest, w.rendition
    from changing w
  ), given as (
    select w.id, t.category, t.score, t.threshold, w.by
    from changing w, jsonb_to_recordset(coalesce(w.tags, '[]')) as t (category text, score real, threshold real)
  ), taken as (
    delete from tags t using changing w
    where t.photo_id = w.id
      and not exists (select from given g where g.id = t.photo_id and g.category = t.category)
  ), kept as (
    insert into tags as t (photo_id, category, score, threshold, model)
    select g.id, g.category, g.score, g.threshold, g.by from given g
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model
  ), outcomes as materialized (
    select s.backfill_id, s.photo_id, w.before, w.before_category,
      case when w.differs then w.verdict else 'kept' end as after,
      case when w.differs then coalesce(w.category, '') else w.before_category end as after_category,
      coalesce(w.failure, '') as code,
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'lane' end as proposal
    from settled s join wanted w on w.id = s.photo_id
  ), proposed as (
    insert into proposals (backfill_id, photo_id, item)
    select o.backfill_id, o.photo_id, o.proposal || jsonb_build_object('backfill', o.backfill_id)
    from outcomes o where o.proposal is not null
    on conflict on constraint proposals_pkey do update set item = excluded.item
  ), counted as (
    insert into backfill_counts as c (backfill_id, before, before_category, after, after_category, code, photos)
    select o.backfill_id, o.before, o.before_category, o.after, o.after_category, o.code, count(*)
    from outcomes o group by 1, 2, 3, 4, 5, 6
    -- in one order, so that two groups never wait for each other in a circle
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint backfill_counts_pkey do update set photos = c.photos + excluded.photos
  ), noted as (
    insert into backfill_changes (backfill_id, photo_id, before, before_category, after, after_category, code)
    select o.backfill_id, o.photo_id, o.before, nullif(o.before_category, ''), o.after, nullif(o.after_category, ''), nullif(o.code, '')
    from outcomes o
    where o.code <> '' or (o.after <> 'kept' and (o.before, o.before_category) is distinct from (o.after, o.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.differs and not w.proposed from wanted w;
end $$;
