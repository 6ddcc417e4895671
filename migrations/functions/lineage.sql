-- Asked by each connection before anything else: where this is another Postgres, or another timeline of it, than the one seen last, numbers are skipped
-- before any is given. Of a primary no connection outlives a failover.
-- Returns what skip_numbers does where it did so, null where nothing is to be done, and 0 where it cannot tell: to a replica that may be promoted, or a
-- connection that only reads. What a managed Postgres does not tell counts for nothing, and is learned once it does.
create or replace function notice_lineage() returns bigint language plpgsql security definer set search_path = public, pg_temp as $$
declare
  told lineage;
  here lineage;
  last lineage;
begin
  if pg_is_in_recovery() or current_setting('transaction_read_only')::boolean then
    return 0;
  end if;
  begin
    -- that of the last checkpoint may be minutes old
    told.timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  exception when others then null;
  end;
  begin
    told.system := system_identifier from pg_control_system();
  exception when others then null;
  end;
  select * into last from lineage order by id desc limit 1;
  if found and (coalesce(told.system, last.system), coalesce(told.timeline, last.timeline)) is not distinct from (last.system, last.timeline) then
    return null;
  end if;
  -- of several connections one does it
  lock table lineage in share row exclusive mode;
  select * into last from lineage order by id desc limit 1;
  if not found then
    insert into lineage (system, timeline) values (told.system, told.timeline);
    return null;
  end if;
  here.system := coalesce(told.system, last.system);
  here.timeline := coalesce(told.timeline, last.timeline);
  if (here.system, here.timeline) is not distinct from (coalesce(last.system, here.system), coalesce(last.timeline, here.timeline)) then
    update lineage set system = here.system, timeline = here.timeline where id = last.id;
    return null;
  end if;
  insert into lineage (system, timeline, sequence) values (here.system, here.timeline, skip_numbers()) returning sequence into here.sequence;
  return here.sequence;
end $$;

-- Gives no number again that may have been given and lost since this database was saved or replicated: receivers drop a message whose number they have,
-- jobs and pages still speak of photos and verdicts by theirs. Harmless to repeat.
-- Photos: more than anybody loses; a backfill of all looks at 50,000 ids at once, and so passes it in seconds. All may have been judged and told of again.
-- Returns a number of messages: all from now on have higher ones.
create or replace function skip_numbers() returns bigint language sql security definer set search_path = public, pg_temp as $$
  select setval(pg_get_serial_sequence('photos', 'id'), nextval(pg_get_serial_sequence('photos', 'id')) + 10000000);
  select setval(pg_get_serial_sequence('verdicts', 'id'), nextval(pg_get_serial_sequence('verdicts', 'id')) + 1000000000);
  select setval('outbox_seq', nextval('outbox_seq') + 1000000000);
$$;

revoke execute on function skip_numbers(), notice_lineage() from public;
-- the first is the one that migrate found
select notice_lineage() where not exists (select from lineage);
