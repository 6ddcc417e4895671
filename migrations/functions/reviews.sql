-- Records a moderator's verdict: history, state, and with a category the tags, in one transaction. No model
-- overwrites it afterwards (see record_verdicts); another moderator does. p_category and p_human are null where the
-- moderator did not say; the photo then keeps its category and tags. Each call adds a row, also one that says the same.
-- The photo comes last: what is told of it then has its new tags.
-- Returns the id of the row in verdicts. Locks: the photo, so that a model's verdict in flight comes before or is refused.
-- MD404: no such photo. 22023: a verdict that is neither shown nor hidden, or a moderator without a name.
create or replace function record_review(
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

create or replace function complete_review() returns trigger language plpgsql as $$
begin
  select c.* into new.moderator, new.at, new.verdict, new.model, new.model_verdict, new.model_rule, new.model_category
  from context_of_review(new.verdict_id, new.photo_id) c;
  new.digest := bytes_of(new.photo_id);
  return new;
end $$;

-- What a review says beyond what the moderator gave, from the history. Of a photo of which nothing but the key says which bytes it
-- is, a model has said nothing yet where it judged it before it was uploaded again.
create or replace function context_of_review(p_verdict_id bigint, p_photo_id bigint)
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
