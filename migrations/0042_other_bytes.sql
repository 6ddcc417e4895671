-- Up Migration

alter table object_order add column if not exists deleted_at timestamptz;
comment on column object_order.deleted_at is 'When somebody told, without an order, that it is deleted; null once an event with an order says that it is uploaded again';
