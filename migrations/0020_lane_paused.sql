-- Up Migration

alter table feeding add column lane_paused boolean not null default false;
comment on column feeding.lane_paused is 'Whether the lane backfill was paused then: the queue knows it, and this is for whoever asks Postgres alone why a run does not go on';
comment on table audit_log is 'Who did what at the desk, and to lanes and backfills from wherever, oldest first; rows are only added. Of a photo it knows the number alone, which names nothing once the photo is forgotten.';
