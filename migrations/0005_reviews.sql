-- Up Migration

-- What a moderator's verdict says beyond its row in `verdicts`. One row a review, so that the tables with a row or
-- more for every photo do not grow by columns that are null in nearly all of them.
create table reviews (
  verdict_id bigint primary key references verdicts on delete cascade,
  photo_id   bigint not null references photos on delete cascade,
  category   text,
  human      boolean,
  audit      boolean not null default false
);
comment on table reviews is 'What moderators saw, oldest first; rows are only added. Who, when and the verdict are in verdicts.';
comment on column reviews.category is 'The category that the moderator gave; null where they gave none';
comment on column reviews.human is 'Whether the moderator saw a human; null where they did not say';
comment on column reviews.audit is 'Whether the photo was drawn at random to measure the model, and not because of its verdict';
create index reviews_photo on reviews (photo_id, verdict_id);
create trigger reviews_append_only before update on reviews for each row execute function refuse_change();

-- Records a moderator's verdict: history, state, and with a category the tags, in one transaction. No model
-- overwrites it afterwards (see record_verdicts); another moderator does. p_category and p_human are null where the
-- moderator did not say; the photo then keeps its category and tags. Each call adds a row, also one that says the same.
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
  update photos
  set state = p_verdict, category = coalesce(p_category, category), rule = 'moderator', reason = why, failure = null,
      decided_by = by_whom, policy = null, decided_at = now()
  where id = p_photo_id;
  if p_category is not null then
    delete from tags where photo_id = p_photo_id and category <> p_category;
    -- a person is sure: the score is 1, and no threshold was asked
    insert into tags as t (photo_id, category, score, threshold, model) values (p_photo_id, p_category, 1, 0, by_whom)
    on conflict on constraint tags_pkey do update
      set score = excluded.score, threshold = excluded.threshold, model = excluded.model;
  end if;
  return verdict_id;
end $$;

-- What grant_roles gave until now, and then what is new here; it is called by the same name.
alter function grant_roles(text) rename to grant_roles_before_reviews;
create function grant_roles(p_queue_schema text) returns void language plpgsql as $$
begin
  perform grant_roles_before_reviews(p_queue_schema);
  if to_regrole('maitred_worker') is not null then
    grant select, insert on reviews to maitred_worker;
  end if;
  if to_regrole('maitred_migrator') is not null then
    begin
      alter table reviews owner to maitred_migrator;
      alter function record_review(bigint, text, text, text, boolean, boolean, text) owner to maitred_migrator;
      alter function grant_roles_before_reviews(text) owner to maitred_migrator;
    exception
      when insufficient_privilege then
        raise notice 'reviews stays with %: only an administrator may give it to maitred_migrator', current_user;
    end;
  end if;
end $$;
