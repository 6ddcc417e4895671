-- Up Migration

-- Of proposing backfills: what the verdict would have been, as record_verdicts takes it.
create table proposals (
  backfill_id bigint not null references backfills on delete cascade,
  photo_id    bigint not null references photos on delete cascade,
  item        jsonb not null,
  primary key (backfill_id, photo_id)
);
comment on table proposals is 'Verdicts that wait for an operator, who applies or discards all of a backfill.';
create index proposals_photo on proposals (photo_id);
