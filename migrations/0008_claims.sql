-- Up Migration

-- What somebody objects to. The photo keeps its verdict until a moderator has looked.
create table appeals (
  id          bigint generated always as identity primary key,
  photo_id    bigint not null references photos on delete cascade,
  reason      text not null,
  by          text not null,
  at          timestamptz not null default now(),
  answered_at timestamptz,
  decision_id uuid
);
comment on table appeals is 'Objections to verdicts: by the platform for an uploader or a guest, or by somebody at the desk.';
create unique index appeals_open on appeals (photo_id) where answered_at is null;
create index appeals_photo on appeals (photo_id, id);
create index appeals_waiting on appeals (at, photo_id) where answered_at is null;
create index appeals_decision on appeals (decision_id) where decision_id is not null;

-- Who looks at which photo, so that no other moderator gets it meanwhile. As small as what moderators hold. No reference to
-- photos, whose rows would be locked for it; one on a photo that is gone holds up nobody, and goes within a day.
create table review_claims (
  photo_id  bigint primary key,
  moderator text not null,
  kind      text not null,
  until     timestamptz not null,
  page      text not null default ''
);
comment on table review_claims is 'Photos that a moderator looks at; after until another may have them.';
comment on column review_claims.page is 'Which of the moderator''s pages shows it, by a name that the page made up';
create index review_claims_moderator on review_claims (moderator);

-- Where in 0..999 a photo falls by chance, the same each time: those below N are a sample of N in a thousand.
create function audit_rank(p_photo_id bigint) returns bigint immutable parallel safe language sql as $$
  select (hashint8extended(p_photo_id, 0) & 9223372036854775807) % 1000
$$;
