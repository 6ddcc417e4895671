-- Up Migration

-- What it does is in functions/bytes.sql.
create function look_at_upload() returns trigger language plpgsql as $$ begin raise 'maitred migrate has not ended'; end $$;
create trigger object_order_look after update of latest, told on object_order for each row
  when (new.version = '' and not new.removed and (new.latest is distinct from old.latest or new.told is distinct from old.told))
  execute function look_at_upload();

drop function if exists bytes_of(bigint);

-- Photos of folders alone have it. It is not in history, of which a row a look would be many where a backup touches all files every night.
alter table photos add column if not exists looked_at timestamptz;
comment on column photos.looked_at is 'When its file was last read and nothing changed; null: not since the verdict';
