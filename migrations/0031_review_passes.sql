-- Up Migration

-- A pass is of the verdict that was looked at: once there is another, it counts for nothing. It changes nothing of the photo.
create table review_passes (
  id         uuid primary key,
  photo_id   bigint not null references photos on delete cascade,
  who        text not null,
  verdict_id bigint not null,
  kind       text,
  passed_at  timestamptz not null default now(),
  undone_at  timestamptz
);
comment on table review_passes is 'Who was not sure of a photo, and left it to another moderator, under an id that the page made.';
comment on column review_passes.verdict_id is 'The verdict that the photo had, 0 for none; a pass counts until there is another';
comment on column review_passes.kind is 'Why the photo was asked about; null where the moderator did not hold it any more';
create index review_passes_photo on review_passes (photo_id);
create index review_passes_who on review_passes (who, passed_at);
