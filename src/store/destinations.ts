import { type Pool, query } from "./pool.ts";

/** Who is told, without what it signs with; see migrations/0008_outbox.sql. */
export interface Destination {
  id: string;
  kind: "webhook" | "s3-tags" | "notify";
  /** Only photos of this bucket; null: of all. */
  bucket: string | null;
  url: string | null;
  enabled: boolean;
  /** Why it is not enabled, where maitred switched it off itself. */
  note: string;
  /** Until when a second key signs too; null: there is one. */
  oldKeyUntil: Date | null;
  createdAt: Date;
}

export async function addDestination(
  db: Pool,
  { id, kind, bucket, url }: Pick<Destination, "id" | "kind" | "bucket" | "url">,
  secret: string | null,
): Promise<void> {
  await query(db, {
    name: "add_destination",
    text: "insert into destinations (id, kind, bucket, url, secret) values ($1, $2, $3, $4, $5)",
    values: [id, kind, bucket, url, secret],
  });
}

export async function listDestinations(db: Pool): Promise<Destination[]> {
  return query<Destination>(db, {
    name: "list_destinations",
    text: `select id, kind, bucket, url, enabled, note, case when old_until > now() then old_until end as "oldKeyUntil",
        created_at as "createdAt"
      from destinations order by created_at, id`,
  });
}

/** What a webhook signs with, the newest first; undefined where there is no such webhook. */
export async function readWebhook(
  db: Pool,
  id: string,
): Promise<{ url: string; secrets: string[] } | undefined> {
  const rows = await query<{ url: string; secrets: string[] }>(db, {
    name: "read_webhook",
    text: `select url, array_remove(array[secret, case when old_until > now() then old_secret end], null) as secrets
      from destinations where id = $1 and kind = 'webhook'`,
    values: [id],
  });
  return rows[0];
}

/** Signs with `secret` from now on, and for `keepS` seconds also with the one before. @returns whether there is such a webhook. */
export async function rotateSecret(db: Pool, id: string, secret: string, keepS: number): Promise<boolean> {
  const rows = await query(db, {
    name: "rotate_secret",
    text: `update destinations set old_secret = secret, old_until = now() + make_interval(secs => $3), secret = $2
      where id = $1 and kind = 'webhook' returning id`,
    values: [id, secret, keepS],
  });
  return rows.length > 0;
}

/** Signs with one key again. @returns whether there is such a webhook. */
export async function finishRotation(db: Pool, id: string): Promise<boolean> {
  const rows = await query(db, {
    name: "finish_rotation",
    text: `update destinations set old_secret = null, old_until = null where id = $1 and kind = 'webhook' returning id`,
    values: [id],
  });
  return rows.length > 0;
}

/** What waits for it goes on as soon as it is enabled; what happens while it is not, it is never told. @returns whether there is such a one. */
export async function enableDestination(db: Pool, id: string, enabled: boolean, note = ""): Promise<boolean> {
  const [row] = await query<{ found: number }>(db, {
    name: "enable_destination",
    text: `with changed as (update destinations set enabled = $2, note = $3 where id = $1 returning 1),
        told as (select pg_notify('maitred_outbox', ''))
      select (select count(*) from changed)::integer as found from told`,
    values: [id, enabled, note],
  });
  return row!.found > 0;
}

/** Forgets it, and all that it was to be told. @returns whether there was one. */
export async function removeDestination(db: Pool, id: string): Promise<boolean> {
  const [row] = await query<{ removed: boolean }>(db, {
    name: "remove_destination",
    text: "select remove_destination($1) as removed",
    values: [id],
  });
  return row!.removed;
}
