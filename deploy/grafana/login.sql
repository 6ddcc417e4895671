-- The login that Grafana reads the views with: psql -v password=... -f login.sql; harmless to repeat.
select 'create role maitred_grafana login' where to_regrole('maitred_grafana') is null \gexec
alter role maitred_grafana password :'password';
grant maitred_dashboard to maitred_grafana;
-- whoever may make functions has them look at rows before a view leaves them out: at keys of hidden photos
revoke temporary on database :"DBNAME" from public;
-- maitred doctor makes one to see whether the disk is full
select format('grant temporary on database %I to maitred_worker', current_database()) where to_regrole('maitred_worker') is not null \gexec
