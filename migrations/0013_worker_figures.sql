-- Up Migration

-- What a worker did of late: the desk is served by other processes, which cannot see a worker's own counters. Rows are as few
-- as workers are, and grant_roles lets workers change them already.
alter table model_workers add column figures jsonb;
comment on column model_workers.figures is 'What it did within the last minute, as it last said: photos, stages, batches; null until it has';
