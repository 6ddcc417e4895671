-- Up Migration

-- The roles are of the whole server, so another database may have made them already.
do $$
declare role_name text;
begin
  foreach role_name in array array['maitred_migrator', 'maitred_worker', 'maitred_dashboard'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception
      when duplicate_object or unique_violation then null;
      -- maitred migrate says which are not there
      when insufficient_privilege then null;
    end;
  end loop;
end $$;
