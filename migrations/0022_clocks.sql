-- Up Migration
create trigger object_order_outbox after update of latest on object_order for each row
  when (new.version = '' and new.latest is distinct from old.latest and not new.removed and not old.removed)
  execute function write_outbox();
