-- Up Migration

-- What a moderator's verdict says beyond its row in `verdicts`. One row a review, so that the tables with a row or
-- more for every photo do not grow by columns that are null in nearly all of them. What a review is counted by stands in its own
-- row, so that it can be taken back when the history is gone already.
create table reviews (
  verdict_id     bigint primary key references verdicts on delete cascade,
  photo_id       bigint not null references photos on delete cascade,
  category       text,
  human          boolean,
  audit          boolean not null default false,
  moderator      text,
  at             timestamptz,
  verdict        text,
  model          text,
  model_verdict  text,
  model_rule     text,
  model_category text
);
comment on table reviews is 'What moderators saw and did not take back, oldest first; rows are never changed. Who, when and the verdict are in verdicts.';
comment on column reviews.category is 'The category that the moderator gave; null where they gave none';
comment on column reviews.human is 'Whether the moderator saw a human; null where they did not say';
comment on column reviews.audit is 'Whether the photo was drawn at random to measure the model, and not because of its verdict';
comment on column reviews.at is 'When; with moderator and verdict a copy of its row in verdicts';
comment on column reviews.model is 'Who had given the last verdict of a model before it (model_verdict, model_rule, model_category); null where none had';
create index reviews_photo on reviews (photo_id, verdict_id);
create trigger reviews_append_only before update on reviews for each row execute function refuse_change();

-- What a review says beyond what the moderator gave, from the history. Of a photo of which nothing but the key says which bytes it
-- is, a model has said nothing yet where it judged it before it was uploaded again.
create function context_of_review(p_verdict_id bigint, p_photo_id bigint)
returns table (moderator text, at timestamptz, verdict text, model text, model_verdict text, model_rule text, model_category text)
stable language sql as $$
  select substr(v.decided_by, length('moderator:') + 1), v.decided_at, v.verdict, m.decided_by, m.verdict, m.rule, m.category
  from verdicts v join photos p on p.id = p_photo_id
  left join lateral (
    select b.decided_by, b.verdict, b.rule, b.category from verdicts b
    where b.photo_id = p_photo_id and b.id < p_verdict_id and b.decided_by like 'model:%' and b.rule <> 'undo'
      and (p.version <> '' or p.revived_at is null or b.decided_at >= p.revived_at)
    order by b.id desc limit 1
  ) m on true
  where v.id = p_verdict_id
$$;

create function complete_review() returns trigger language plpgsql as $$
begin
  select c.* into new.moderator, new.at, new.verdict, new.model, new.model_verdict, new.model_rule, new.model_category
  from context_of_review(new.verdict_id, new.photo_id) c;
  return new;
end $$;
create trigger reviews_complete before insert on reviews for each row execute function complete_review();

-- Records a moderator's verdict: history, state, and with a category the tags, in one transaction. No model
-- overwrites it afterwards (see record_verdicts); another moderator does. p_category and p_human are null where the
-- moderator did not say; the photo then keeps its category and tags. Each call adds a row, also one that says the same.
-- The photo comes last: what is told of it then has its new tags.
-- Returns the id of the row in verdicts. Locks: the photo, so that a model's verdict in flight comes before or is refused.
-- MD404: no such photo. 22023: a verdict that is neither shown nor hidden, or a moderator without a name.
create function record_review(
  p_photo_id bigint, p_moderator text, p_verdict text, p_category text default null, p_human boolean default null,
  p_audit boolean default false, p_note text default null
) returns bigint language plpgsql as $$
declare
  by_whom text := 'moderator:' || p_moderator;
  why text := coalesce(p_note, 'decided by ' || p_moderator);
  verdict_id bigint;
begin
  if p_verdict is null or p_verdict not in ('shown', 'hidden') then
    raise exception 'expected the verdict shown or hidden, got %', p_verdict using errcode = '22023';
  end if;
  if coalesce(p_moderator, '') = '' then
    raise exception 'expected the name of the moderator' using errcode = '22023';
  end if;
  perform 1 from photos where id = p_photo_id for update;
  if not found then
    raise exception 'there is no photo %', p_photo_id using errcode = 'MD404';
  end if;

  insert into verdicts (photo_id, verdict, rule, reason, category, decided_by)
  values (p_photo_id, p_verdict, 'moderator', why, p_category, by_whom)
  returning id into verdict_id;
  insert into reviews (verdict_id, photo_id, category, human, audit)
  values (verdict_id, p_photo_id, p_category, p_human, coalesce(p_audit, false));
  if p_category is not null then
    delete from tags where photo_id = p_photo_id and category <> p_category;
    -- a person is sure: the score is 1, and no threshold was asked
    insert into tags as t (photo_id, category, score, threshold, model) values (p_photo_id, p_category, 1, 0, by_whom)
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model;
  end if;
  update photos
  set state = p_verdict, category = coalesce(p_category, category), rule = 'moderator', reason = why, failure = null,
      decided_by = by_whom, policy = null, decided_at = now()
  where id = p_photo_id;
  return verdict_id;
end $$;

-- What was decided at the desk, under an id that the page made, so that sending it again does nothing more.
create table review_decisions (
  id         uuid primary key,
  photo_id   bigint not null references photos on delete cascade,
  moderator  text not null,
  kind       text,
  verdict    text not null,
  category   text,
  human      boolean,
  verdict_id bigint not null,
  before     jsonb not null,
  at         timestamptz not null default now(),
  undone_at  timestamptz
);
comment on table review_decisions is 'Decisions of moderators at the desk. Who, when and what; verdicts and reviews follow from them.';
comment on column review_decisions.kind is 'Why the photo was asked about; null where the moderator chose it';
comment on column review_decisions.before is 'State and tags of the photo before, for whoever takes it back';
create index review_decisions_moderator on review_decisions (moderator, at);
create index review_decisions_photo on review_decisions (photo_id);

-- What there is to restore of a photo.
create function photo_before(p photos) returns jsonb stable language sql as $$
  select jsonb_build_object('state', p.state, 'category', p.category, 'human', p.human, 'rule', p.rule, 'reason', p.reason,
    'failure', p.failure, 'decided_by', p.decided_by, 'policy', p.policy, 'decided_at', p.decided_at,
    'tags', coalesce((select jsonb_agg(to_jsonb(t)) from tags t where t.photo_id = p.id), '[]'))
$$;

-- Records decisions of a moderator: a JSON array of {id, photo, verdict, category, human, note, asOf, appeal}. Each counts or does
-- not, whatever becomes of the others. A photo that was claimed as an audit gives an audit. An open appeal is answered that was
-- seen: the photo was claimed for it, or it is no later than `appeal`, which is when the one was made that was shown. One that came
-- meanwhile stays open.
-- Returns of each, in order, the outcome, who was in the way, and what the photo is now:
--   done       it counts now
--   known      it was here before, and counts
--   clash      the id was used for something else
--   taken      another moderator holds the photo
--   changed    another moderator decided the photo, and asOf shows that this one did not know; or it was here before, and
--              this one took it back
--   withdrawn  its object was replaced or removed since, so there is nothing to decide; or it would be shown, and was uploaded again
--              after what the moderator saw
--   gone       there is no such photo
-- Locks: the photos, in the order of their ids, and then their claims in the same order.
create function decide_reviews(p_moderator text, p_items jsonb)
returns table (id uuid, photo_id bigint, outcome text, other text, state text, as_of bigint) language plpgsql as $$
#variable_conflict use_column
declare
  i record;
  photo photos;
  known review_decisions;
  claim review_claims;
  before jsonb;
  written bigint;
begin
  perform 1 from photos p
  where p.id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by p.id for update;
  perform 1 from review_claims c
  where c.photo_id in (select t.photo from jsonb_to_recordset(p_items) as t (photo bigint)) order by c.photo_id for update;
  for i in
    select * from rows from (jsonb_to_recordset(p_items) as (
      id uuid, photo bigint, verdict text, category text, human boolean, note text, "asOf" bigint, appeal timestamptz
    )) with ordinality as t (id, photo, verdict, category, human, note, seen, appeal, n) order by n
  loop
    id := i.id;
    photo_id := i.photo;
    other := null;
    select * into photo from photos p where p.id = i.photo;
    select * into known from review_decisions d where d.id = i.id;
    select * into claim from review_claims c where c.photo_id = i.photo;
    select max(v.id) into as_of from verdicts v where v.photo_id = i.photo;
    if known.id is not null then
      outcome := case
        when (known.moderator, known.photo_id, known.verdict, known.category, known.human)
          is distinct from (p_moderator, i.photo, i.verdict, i.category, i.human) then 'clash'
        when known.undone_at is not null then 'changed'
        else 'known' end;
      other := case when outcome = 'changed' then p_moderator end;
    elsif photo.id is null then
      outcome := 'gone';
    elsif photo.superseded_at is not null
      -- it was uploaded again, and what was looked at may be other bytes
      or (photo.version = '' and photo.revived_at is not null and i.verdict = 'shown' and not exists (
        select from verdicts v where v.photo_id = i.photo and v.id <= i.seen and v.decided_at >= photo.revived_at)) then
      outcome := 'withdrawn';
    elsif claim.moderator <> p_moderator and claim.until > now() then
      outcome := 'taken';
      other := claim.moderator;
    elsif photo.decided_by like 'moderator:%' and photo.decided_by <> 'moderator:' || p_moderator and exists (
      -- what an undo restored was known before
      select from verdicts v
      where v.photo_id = i.photo and v.id > i.seen and v.decided_by = photo.decided_by and v.rule <> 'undo') then
      outcome := 'changed';
      other := substr(photo.decided_by, 11);
    else
      claim := case when claim.moderator = p_moderator then claim end;
      before := photo_before(photo);
      written := record_review(
        i.photo, p_moderator, i.verdict, i.category, i.human, coalesce(claim.kind = 'audit', false), i.note);
      insert into review_decisions (id, photo_id, moderator, kind, verdict, category, human, verdict_id, before)
      values (i.id, i.photo, p_moderator, claim.kind, i.verdict, i.category, i.human, written,
        before);
      update appeals a set answered_at = now(), decision_id = i.id where a.photo_id = i.photo and a.answered_at is null
        and (claim.kind = 'appeal' or a.at <= i.appeal);
      delete from review_claims c where c.photo_id = i.photo;
      insert into audit_log (who, did, photo, about)
      values (p_moderator, 'decided', i.photo, jsonb_strip_nulls(jsonb_build_object('decision', i.id, 'verdict', i.verdict,
        'before', photo.state, 'category', i.category, 'human', i.human, 'kind', claim.kind)));
      outcome := 'done';
      as_of := written;
    end if;
    state := case outcome when 'done' then i.verdict else photo.state end;
    return next;
  end loop;
end $$;

-- Takes back a decision of this moderator: state and tags are what they were, an appeal that it answered is open again, and
-- what the moderator saw teaches nothing. History keeps both: the verdict that stands again is there once more, with its
-- scores and who gave it, by the rule undo. A photo that had no verdict has none again; it says why, and waits for a queue,
-- since its job may have come and gone. So does one that is shown by a model's verdict again, so that a worker looks at it.
-- It is claimed again, for this page of the moderator, unless it is held.
-- Returns the photo, what became of it, and as what that page holds it:
--   done     it is as it was before the decision, or before the backfill whose verdict that was, if it was rolled back since
--   known    it was taken back before
--   changed  it was decided again since, or uploaded again
--   gone     there is no such decision of this moderator
-- Locks: the photo, and then its claim.
create function undo_review(p_moderator text, p_decision uuid, p_lease_s double precision, p_page text default '')
returns table (photo_id bigint, outcome text, kind text) language plpgsql as $$
#variable_conflict use_column
declare
  d review_decisions;
  b photos;
  stood verdicts;
begin
  select * into d from review_decisions r where (r.id, r.moderator) = (p_decision, p_moderator);
  perform 1 from photos p where p.id = d.photo_id for update;
  if not found then
    return query select null::bigint, 'gone', null::text;
    return;
  end if;
  -- as it is now that the photo is locked
  select * into d from review_decisions r where r.id = p_decision;
  if d.undone_at is not null then
    return query select d.photo_id, 'known', null::text;
    return;
  elsif d.verdict_id <> (select max(v.id) from verdicts v where v.photo_id = d.photo_id and not taken_back(v))
    or not exists (select from photos p where p.id = d.photo_id and p.decided_by = 'moderator:' || p_moderator) then
    return query select d.photo_id, 'changed', null::text;
    return;
  end if;

  b := jsonb_populate_record(null::photos, d.before);
  update review_decisions r set undone_at = now() where r.id = p_decision;
  delete from reviews r where r.verdict_id = d.verdict_id;
  if b.state = 'pending' then
    b.rule := 'undo';
    b.reason := 'taken back by ' || p_moderator;
  else
    select * into stood from verdicts v where v.photo_id = d.photo_id and v.id < d.verdict_id order by v.id desc limit 1;
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, failure, rendition)
    values (d.photo_id, b.state, 'undo', 'taken back by ' || p_moderator || ': ' || coalesce(b.reason, ''), b.category, b.human,
      stood.scores, b.decided_by, b.policy, b.failure, stood.rendition);
  end if;
  delete from tags t where t.photo_id = d.photo_id;
  insert into tags select t.* from jsonb_populate_recordset(null::tags, d.before -> 'tags') t;
  update appeals a set answered_at = null, decision_id = null
  where a.decision_id = p_decision
    and not exists (select from appeals o where o.photo_id = d.photo_id and o.answered_at is null);
  insert into review_claims as c (photo_id, moderator, page, kind, until)
  select d.photo_id, p_moderator, p_page, d.kind, now() + make_interval(secs => p_lease_s) where d.kind is not null
  on conflict (photo_id) do update
    set moderator = excluded.moderator, page = excluded.page, kind = excluded.kind, until = excluded.until
    where c.until <= now();
  insert into audit_log (who, did, photo, about)
  values (p_moderator, 'undone', d.photo_id, jsonb_build_object('decision', p_decision, 'verdict', d.verdict, 'again', b.state));
  -- last, so that what is told of the photo has its tags
  update photos p
  set state = b.state, category = b.category, human = b.human, rule = b.rule, reason = b.reason, failure = b.failure,
      decided_by = b.decided_by, policy = b.policy, decided_at = b.decided_at
  where p.id = d.photo_id;
  perform restore_before_backfill(r.id, array[d.photo_id]) from (
    select distinct f.id from verdicts v join backfills f on f.id = v.backfill_id
    where v.photo_id = d.photo_id and f.outcome = 'rolled back') r;
  -- one of the archive too: whoever rolled back was not told of it, since it had the decision then. What is shown meanwhile is looked at soon
  update photos p set lane = 'live' where p.id = d.photo_id and p.state = 'shown' and p.decided_by like 'model:%' and p.lane <> 'live';
  insert into unqueued (photo_id)
  select p.id from photos p where p.id = d.photo_id and p.superseded_at is null
    -- while a moderator had hidden it the version that it is may have gone, or another model or policy come that would not show it
    and (p.state = 'pending' or (p.state = 'shown' and p.decided_by like 'model:%'))
  on conflict do nothing;
  return query
  select d.photo_id, 'done', (
    select c.kind from review_claims c where (c.photo_id, c.moderator, c.page) = (d.photo_id, p_moderator, p_page));
end $$;
