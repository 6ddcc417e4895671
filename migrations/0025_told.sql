-- Up Migration

-- As in 0022_clocks.sql, but that what a verdict says is compared too, as those of one moment have one time.
create or replace function write_outbox() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare changed bigint[];
begin
  if not exists (select from destinations where enabled) then
    return null;
  end if;
  if tg_table_name = 'object_order' then
    perform tell(array[p.id], d.id)
    from photos p join destinations d on d.enabled and d.kind = 's3-tags' and coalesce(d.bucket, p.bucket) = p.bucket
    where (p.store, p.bucket, p.key) = (new.store, new.bucket, new.key) and p.superseded_at is null and p.version like 'etag:%'
      -- a first event mostly is of the upload that something else had told of
      and p.state <> 'pending' and (old.latest is not null or new.told > p.decided_at);
    return null;
  end if;
  -- "except" compares nulls too, and never becomes a loop within a loop, however many rows there are
  changed := array(
    select id from (
      select id, state, rule, reason, category, human, decided_by, decided_at, superseded_at, listing, uploader, claimed from after where state <> 'pending'
      except
      select id, state, rule, reason, category, human, decided_by, decided_at, superseded_at, listing, uploader, claimed from before) c
    union all
    (select id from after where state = 'pending' intersect select id from before where state <> 'pending'));
  if cardinality(changed) > 0 then
    perform tell(changed);
  end if;
  return null;
end $$;
