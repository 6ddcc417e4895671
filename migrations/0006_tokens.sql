-- Up Migration

-- Who may use the API. A token is random enough that its plain hash tells nothing of it.
create table tokens (
  id         text primary key,
  name       text not null,
  hash       bytea not null,
  scopes     text[] not null check (scopes <@ array['ingest', 'read', 'operate', 'review']),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
comment on table tokens is 'Who may use the API; the tokens themselves are nowhere.';
-- history knows people by their names
create unique index tokens_name on tokens (name) where revoked_at is null;

-- What was answered to a request with an Idempotency-Key, so that the same request has the same answer for a day. The key is
-- taken before the request is handled, so that of two bodies at once only one is.
create table idempotent_answers (
  token_id    text not null references tokens on delete cascade,
  key         text not null,
  request     bytea not null,
  status      integer,
  answer      jsonb,
  answered_at timestamptz not null default now(),
  primary key (token_id, key),
  check ((status is null) = (answer is null))
);
comment on column idempotent_answers.answer is 'Null: nothing was answered yet';
comment on column idempotent_answers.answered_at is 'While nothing was: when the key was taken';
comment on column idempotent_answers.request is 'SHA-256 of the body: another body under the same key is a mistake';
create index idempotent_answers_answered on idempotent_answers (answered_at);
