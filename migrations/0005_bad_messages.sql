-- Up Migration

-- What a queue brought and nobody understood. The message is gone from its queue once it is here.
create table bad_messages (
  id          bigint generated always as identity primary key,
  source      text not null,
  message_id  text not null,
  body        text not null check (octet_length(body) <= 1048576),
  bytes       integer not null,
  code        text not null,
  detail      text not null,
  received_at timestamptz not null default now(),
  attempts    integer not null default 1,
  tried_at    timestamptz not null default now(),
  resolved_at timestamptz,
  resolution  text check (resolution in ('replayed', 'discarded')),
  sent_at     timestamptz,
  unique (source, message_id),
  check ((resolved_at is null) = (resolution is null))
);
comment on table bad_messages is 'Messages of queues that could not be taken, with why; maitred events lists and replays them.';
comment on column bad_messages.source is 'sqs:QUEUE';
comment on column bad_messages.message_id is 'As the source names it: one that is delivered twice is here once';
comment on column bad_messages.bytes is 'Of the body as it came; where it is more than is here, the rest was cut off';
comment on column bad_messages.attempts is 'How often it was tried, the first time among them';
comment on column bad_messages.sent_at is 'When it was sent, as its source says';
create index bad_messages_open on bad_messages (id) where resolved_at is null;
