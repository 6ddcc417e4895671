-- Up Migration

alter table bad_messages add column sent_at timestamptz;
comment on column bad_messages.sent_at is 'When it was sent, as its source says; null where it was put aside before that was kept';
