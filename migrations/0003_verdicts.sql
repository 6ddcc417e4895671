-- Up Migration

-- What was judged stands on the row that holds its scores, so that whoever erases the one erases the other:
--   digest     33 bytes of a row whose photo the model ran for, and nothing in others: those that took the scores over (their
--              batch is 'same-ID'), and those that another policy or a moderator decided. So a picture that is
--              uploaded a million times is there once. It is all of the SHA-256, of which the index holds 8 bytes: of these
--              alone two of half a billion photos would meet by chance, one time in a hundred and fifty, and on purpose
--              within minutes, and a photo that somebody made to meet a harmless one would be shown;
--   rendition  that a smaller copy was judged; its name follows from that of the photo and the template of the backfill;
--   tries      of a failure, and of a verdict that took more than one.
-- The index of digests is in src/store/indexes.ts.
create table verdicts (
  id          bigint generated always as identity primary key,
  photo_id    bigint not null references photos on delete cascade,
  verdict     text not null check (verdict in ('shown', 'hidden', 'review', 'failed')),
  rule        text not null,
  reason      text not null,
  category    text,
  human       real,
  scores      jsonb,
  decided_by  text not null,
  policy      text,
  batch       text,
  decided_at  timestamptz not null default now(),
  -- no reference: it would be looked up for every verdict of a run
  backfill_id bigint,
  failure     text,
  digest      bytea,
  rendition   boolean,
  tries       smallint
) with (
  -- only added to, and so to be vacuumed for index-only scans alone
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
comment on table verdicts is 'Every verdict ever given, oldest first; rows are only added.';
comment on column verdicts.backfill_id is 'The backfill that the verdict is of';
comment on column verdicts.failure is 'The code of a failure; null otherwise';
comment on column verdicts.digest is 'SHA-256 of the bytes that the model judged; null where it did not run for this verdict';
comment on column verdicts.rendition is 'True where a rendition of the photo was judged, and not the photo itself';
comment on column verdicts.tries is 'How many tries a failure took, or a verdict that took more than one; null otherwise';
create index verdicts_photo on verdicts (photo_id, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% are history: rows are only added', tg_table_name using errcode = 'MD409';
end $$;
create trigger verdicts_append_only before update on verdicts for each row execute function refuse_change();

-- What every policy said that ever gave a verdict here, so that the tags of an old verdict can be given again.
create table policies (
  id         text primary key,
  yaml       text not null,
  thresholds jsonb not null,
  since      timestamptz not null default now()
);
comment on table policies is 'The policies that gave verdicts, by what photos.policy and verdicts.policy call them.';
comment on column policies.thresholds is 'By category, 0 to 1';

-- Commits a group of verdicts and failures: state, tags and history in one statement of one transaction.
-- p_items: a JSON array of {id, verdict, rule, reason, category, human, scores, tags, by, policy, batch, known,
-- failure, transient}. For verdict 'failed', failure is the code. What is in known fills in what is not known of the photo, and
-- takes the place of a listing that was inherited.
-- Returns one row a photo that exists, with changed = false where nothing was to be done:
--   the same model and policy had already decided it (a replayed job, or two workers on one photo);
--   a moderator had decided it;
--   it had already failed with this code; or a transient failure would have undone an earlier verdict.
-- A photo that no longer exists has no row. Locks: the photos, in the order of their ids, so that two groups
-- never wait for each other in a circle.
-- It settles what backfills wait for in the same transaction: whoever judged the photo, a live upload too,
-- it needs no judging any more. Items may also have
--   fed       it was queued for backfills: where only proposing ones wait for the photo it becomes a proposal instead of a verdict.
--             Where none waits for it any more it was recorded before, maybe as a proposal, and a worker that was killed, or lost
--             Postgres, could not say so: nothing changes;
--   backfill  a backfill that the verdict is of without having waited for it; nobody judged the photo, so who waits for that waits on;
--   counted   that backfill counts it now, and makes it a proposal if it proposes;
--   stored    it is from the scores of an earlier verdict, and changes nothing of a photo that this is not the verdict of any more,
--             nor where the verdict that stands has other scores;
--   digest, rendition, tries  for the columns of these names. What a model says of the photo itself replaces what it said of a
--             rendition by the same policy, and not the other way round;
--   over      of a proposal: the verdict of its model that stood when it was made. A failure that was proposed undoes no verdict
--             that the same model and policy gave since;
--   age       how many seconds ago its bytes were fetched, give or take how long they are on their way;
--   fetched   of a proposal: when that was.
-- What the same model and policy say otherwise than they did (verdict, rule, category or score of a human) is a change where a
-- run with again waits for the photo, or proposed it and the photo was not decided since; but not where the scores were taken
-- over (the batch is 'same-ID'), nor where they are of a rendition, and what stands of the photo itself. A run that only
-- proposes makes no verdict of it, and nothing of what was not fed.
-- Where the version does not say which bytes the photo has, what was said of others is no verdict:
--   - one of the same model and policy that is another, of other bytes that were fetched after the one that stands, counts;
--   - nothing counts of bytes that were fetched before the photo was uploaded again;
--   - no proposal counts where other bytes were judged, or the photo failed, after its own were fetched.
-- Where a photo is in the group twice, what was asked for otherwise than by backfills counts, and then what read the photo itself.
create function record_verdicts(p_items jsonb) returns table (photo_id bigint, changed boolean) language plpgsql as $$
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
      by text, policy text, batch text, known jsonb, failure text, transient boolean, age double precision,
      fed boolean, backfill bigint, counted boolean, stored boolean, digest bytea, rendition boolean, tries smallint, over bigint, fetched timestamptz)
    order by i.id, i.fed is true, i.rendition is true
  ), waiting as (
    delete from backfill_photos b using input i where b.photo_id = i.id and i.backfill is null
    returning b.photo_id, b.backfill_id
  ), settled as materialized (
    select x.photo_id, f.id as backfill_id, f.propose, f.again, f.what ->> 'kind' = 'manifest' as listed
    from (
      select w.photo_id, w.backfill_id from waiting w
      union
      select i.id, i.backfill from input i where i.backfill is not null and i.counted
    ) x join backfills f on f.id = x.backfill_id
  ), wanted as materialized (
    select input.*, locked.state as before, coalesce(locked.category, '') as before_category, asked.proposed, standing.id as standing,
      coalesce(input.backfill, (select max(s.backfill_id) from settled s where s.photo_id = input.id and not s.propose)) as of_backfill,
      case
        when locked.decided_by like 'moderator:%' then false
        when locked.version = '' and now() - make_interval(secs => input.age) < locked.revived_at then false
        when input.fed and not asked.settled then false
        when input.stored and (locked.state = 'failed' or locked.decided_by is distinct from input.by
          or (input.rendition is true) <> coalesce(standing.rendition, false)
          or (standing.scores, standing.human) is distinct from (input.scores, input.human)) then false
        when input.fetched is not null and locked.state = 'failed' and locked.decided_at > input.fetched then false
        when input.fetched is not null and exists (
          select from verdicts v
          where v.photo_id = input.id and v.decided_at > input.fetched and v.digest <> input.digest
            -- of an original and its rendition digests always differ, which tells nothing where the version is of certain bytes
            and (coalesce(v.rendition, false) = (input.rendition is true)
              or (v.rendition is not true and (locked.version = '' or locked.version like 'generation:%')))) then false
        when input.verdict = 'failed' and input.backfill is not null and input.counted is not true
          and locked.state not in ('pending', 'failed') and locked.decided_by = input.by and locked.policy = input.policy
          and standing.id is distinct from input.over then false
        when input.verdict = 'failed' then
          case when locked.state = 'failed' then locked.failure is distinct from input.failure
               else locked.state = 'pending' or not input.transient end
        when locked.state in ('pending', 'failed')
          or locked.decided_by is distinct from input.by or locked.policy is distinct from input.policy then true
        when (input.rendition is true) <> coalesce(standing.rendition, false) then input.rendition is not true
        else (asked.again and input.batch not like 'same-%' or coalesce(input.over = standing.id, false))
          and (locked.state, locked.rule, locked.category, locked.human)
            is distinct from (input.verdict, input.rule, input.category, input.human)
          or (locked.version = '' or locked.version like 'generation:%')
          and coalesce(now() - make_interval(secs => input.age) > locked.decided_at + interval '1 second', false)
          and (input.digest is null or input.digest is distinct from standing.digest)
          and (locked.state, locked.rule, locked.category) is distinct from (input.verdict, input.rule, input.category)
      end as differs
    from input join photos locked on locked.id = input.id
    left join lateral (
      select v.id, v.rendition, v.digest, v.scores, v.human from verdicts v
      where v.photo_id = input.id and locked.decided_by = input.by order by v.id desc limit 1
    ) standing on true
    cross join lateral (
      select count(*) > 0 as settled,
        coalesce(bool_and(s.propose), false) and (coalesce(input.fed, false) or coalesce(input.counted, false)) as proposed,
        coalesce(bool_or(s.again) filter (where not s.propose), bool_or(s.again) and input.fed, false) as again
      from settled s where s.photo_id = input.id
    ) asked
  ), changing as materialized (
    select * from wanted w where w.differs and not w.proposed
  ), state as (
    update photos p
    set state = w.verdict, category = w.category, human = w.human, rule = w.rule, reason = w.reason,
        failure = w.failure, decided_by = w.by, policy = w.policy, decided_at = now(),
        listing = case when p.inherited then coalesce(w.known ->> 'listing', p.listing) else coalesce(p.listing, w.known ->> 'listing') end,
        inherited = p.inherited and w.known ->> 'listing' is null,
        uploader = coalesce(p.uploader, w.known ->> 'uploader'),
        claimed = coalesce(p.claimed, w.known ->> 'claimed')
    from changing w where p.id = w.id
  ), history as (
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, failure, backfill_id,
      digest, rendition, tries)
    select w.id, w.verdict, w.rule, w.reason, w.category, w.human, w.scores, w.by, w.policy, w.batch, w.failure, w.of_backfill,
      w.digest, w.rendition, w.tries
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
      -- nothing else would tell the feeder that a list names it once more
      s.listed and not (w.differs and case when w.proposed then s.propose else w.of_backfill is not distinct from s.backfill_id end) as unseen,
      case when w.differs and w.proposed and s.propose then w.item - 'counted' - 'fed' - 'age' || jsonb_build_object(
        'over', w.standing, 'fetched', now() - make_interval(secs => w.age)) end as proposal
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
    where o.code <> '' or o.unseen or (o.after <> 'kept' and (o.before, o.before_category) is distinct from (o.after, o.after_category))
    on conflict on constraint backfill_changes_pkey do update
      set before = excluded.before, before_category = excluded.before_category, after = excluded.after,
          after_category = excluded.after_category, code = excluded.code
  )
  select w.id, w.differs and not w.proposed from wanted w;
end $$;

create view verdict_history as
  select id as verdict_id, photo_id, decided_at, verdict, rule, reason, category, human, decided_by as model, policy, failure as code, backfill_id
  from verdicts;
comment on view verdict_history is 'Every verdict ever given; the largest id is the latest. A row with the rule undo says which one stands again since a moderator took a decision back.';
comment on column verdict_history.verdict_id is 'Larger is later';
comment on column verdict_history.photo_id is 'The photo';
comment on column verdict_history.decided_at is 'When it was committed';
comment on column verdict_history.verdict is 'shown, hidden, review or failed';
comment on column verdict_history.rule is 'Why, as a word that never changes';
comment on column verdict_history.reason is 'Why, for a person';
comment on column verdict_history.category is 'Most probable category; null for failed photos, and where a moderator gave none';
comment on column verdict_history.human is 'Probability 0 to 1 that a human is visible';
comment on column verdict_history.model is 'Who decided: model:NAME or moderator:NAME';
comment on column verdict_history.policy is 'Which policy, as the table policies has it; null for moderators';
comment on column verdict_history.code is 'Failure code; null for judged photos';
comment on column verdict_history.backfill_id is 'The backfill that it is of; null: none';
