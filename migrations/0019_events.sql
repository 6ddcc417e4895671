-- Up Migration

-- It is run too where the former migrations have made all the rest, the last of which had these otherwise.
alter table object_order add column if not exists overtaken jsonb;
alter table object_order rename column overtaken to kept;
alter table object_order add column overtaken text;
update object_order
set latest = coalesce(kept ->> 'ord', latest), overtaken = case kept ->> 'kind' when 'created' then kept ->> 'version' else '' end
where kept is not null;
alter table object_order drop column kept;
comment on table object_order is 'The latest event of each object, each version that was removed on its own, and each that was old when its event came, or was erased.';
comment on column object_order.version is
  'Empty: the object as a whole; null: what has no version id; else a version that is gone for good, or, where it is not removed, that no upload handler brings back';
comment on column object_order.told is 'When the latest was said of what was told of the object as a whole; null where that is not known. Of an erased version: when its removal was said';
comment on column object_order.overtaken is
  'Where what is current was told without an order: the version that the event of the latest order made current, empty for a removal';
drop function if exists record_events(jsonb, text), record_events(jsonb, text, boolean);
