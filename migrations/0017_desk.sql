-- Up Migration

-- Who is signed in to the desk. The browser has the secret; here is its hash.
create table desk_sessions (
  id         text primary key check (id ~ '^[0-9a-f]{12}$'),
  hash       bytea not null,
  subject    text not null check (subject ~ '^(token|oidc|link):'),
  name       text not null check (name <> ''),
  roles      text[] not null check (roles <@ array['viewer', 'moderator', 'operator']),
  started_at timestamptz not null default now(),
  seen_at    timestamptz not null default now(),
  ends_at    timestamptz not null,
  ended_at   timestamptz
);
comment on table desk_sessions is 'Who is, or was, signed in to the desk; the secrets themselves are nowhere.';
comment on column desk_sessions.subject is 'token:ID, whose revocation ends it; oidc:ISSUER#SUBJECT; or link:NAME';
comment on column desk_sessions.name is 'What history calls this person';
comment on column desk_sessions.seen_at is 'When it was last used, to a minute';
comment on column desk_sessions.ended_at is 'Signed out, or revoked';

-- Whom a name is of, so that two people are never one: verdicts, claims and the log know people by their names.
create table desk_people (
  name    text primary key check (name <> ''),
  subject text not null unique
);
comment on table desk_people is 'Names of those who signed in to the desk, of which each is one person''s for ever; rows are only added.';
comment on column desk_people.subject is 'oidc:ISSUER#SUBJECT, link:NAME, or "token named NAME": whoever has a token of the name after another is the same person';

create table audit_log (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default now(),
  who      text not null,
  did      text not null,
  photo    bigint,
  about    jsonb not null default '{}'
);
comment on table audit_log is 'Who did what at the desk, and to backfills from wherever, oldest first; rows are only added. Of a photo it knows the number alone, which names nothing once the photo is forgotten.';
create index audit_log_photo on audit_log (photo, id) where photo is not null;
create trigger audit_log_append_only before update or delete on audit_log
  for each row execute function refuse_change();
