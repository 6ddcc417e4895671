-- Up Migration

-- Each process that tidies asks for it every minute, and read all that is put aside.
create index bad_messages_resolved on bad_messages (resolved_at) where resolved_at is not null;
