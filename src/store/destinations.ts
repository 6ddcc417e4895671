import { connection, type Pool, query, refused } from "./pool.ts";

/** Who is told, without what it signs with; the table `destinations`. */
export interface Destination {
  id: string;
  kind: "webhook" | "s3-tags" | "notify";
  /** Only photos of this bucket; null: of all. */
  bucket: string | null;
  url: string | null;
  enabled: boolean;
  /** Why it is not enabled, where maitred switched it off itself. */
  note: string;
  /** When it was last enabled or disabled. */
  changedAt: Date;
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
    text: `select id, kind, bucket, url, enabled, note, changed_at as "changedAt", case when old_until > now() then old_until end as "oldKeyUntil",
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

/**
 * Signs with `secret` from now on, and for `keepS` seconds also with the one before. Where two sign already that is the
 * older one, and `replaced` is true: the newer may have been lost before any receiver had it, and signs no more.
 *
 * @returns undefined where there is no such webhook.
 */
export async function rotateSecret(
  db: Pool,
  id: string,
  secret: string,
  keepS: number,
): Promise<{ replaced: boolean } | undefined> {
  const [row] = await query<{ replaced: boolean }>(db, {
    name: "rotate_secret",
    text: `with before as (
        select id, coalesce(old_until > now(), false) as two from destinations where id = $1 and kind = 'webhook' for no key update)
      update destinations d set old_secret = case when two then d.old_secret else d.secret end,
        old_until = now() + make_interval(secs => $3), secret = $2
      from before b where d.id = b.id returning two as replaced`,
    values: [id, secret, keepS],
  });
  return row;
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

/**
 * What waits for it goes on as soon as it is enabled; of what happens while it is not, `tellPage` tells. It waits for no verdict:
 * one that is being committed tells it still, and that waits as the rest does.
 *
 * @returns since when it was as it was before, and a minute more; undefined where there is no such destination.
 */
export async function enableDestination(
  db: Pool,
  id: string,
  enabled: boolean,
  note = "",
): Promise<{ wasEnabled: boolean; since: Date } | undefined> {
  const [row] = await query<{ wasEnabled: boolean; since: Date }>(db, {
    name: "enable_destination",
    text: `with before as (select enabled, changed_at from destinations where id = $1 for no key update),
        changed as (
          update destinations d set enabled = $2, note = $3, changed_at = case when b.enabled = $2 then d.changed_at else now() end
          from before b where d.id = $1),
        noticed as (select pg_notify('maitred_outbox', ''))
      -- what was under way then bears the time at which it began, and a statement may take a minute: see pool.ts
      select b.enabled as "wasEnabled", b.changed_at - interval '1 minute' as since from before b, noticed`,
    values: [id, enabled, note],
  });
  return row;
}

/**
 * Tells a destination of one page of photos as they are now; see tell_again.
 *
 * @param since of those alone that changed or were withdrawn since then.
 * @returns the last photo that was looked at, undefined at the end, and how many were told of.
 * @throws {ConfigError}: there is no such destination, or it is not enabled.
 */
export async function tellPage(
  db: Pool,
  id: string,
  since: Date,
  after: string,
  limit: number,
): Promise<{ lastId: string | undefined; told: number }> {
  const [row] = await query<{ lastId: string; told: number }>(db, {
    name: "tell_again",
    // whoever disables it waits for the page, or the page would tell nothing and be passed over
    text: `select last_id as "lastId", told::integer
      from tell_again(coalesce((select id from destinations where id = $1 for share), $1), $2, $3, $4)`,
    values: [id, since, after, limit],
  }).catch((cause: unknown) => refused(cause, ": maitred destination list shows them"));
  return { lastId: row?.lastId, told: row?.told ?? 0 };
}

/**
 * Transactions that changed photos and have not ended. What they changed before a destination was added or enabled they do
 * not tell it, and nobody else sees it yet.
 */
export async function photoWriters(db: Pool): Promise<string[]> {
  const rows = await query<{ id: string }>(db, {
    name: "photo_writers",
    text: `select distinct virtualtransaction as id from pg_locks
      where relation = 'photos'::regclass and mode = 'RowExclusiveLock' and granted
        and database = (select oid from pg_database where datname = current_database())`,
  });
  return rows.map(({ id }) => id);
}

/** How much waits for it; at most `limit` is counted. */
export async function countPending(db: Pool, id: string, limit: number): Promise<number> {
  const [row] = await query<{ pending: number }>(db, {
    name: "count_pending",
    text: `select count(*)::integer as pending
      from (select from deliveries where destination = $1 and state = 'pending' limit $2) d`,
    values: [id, limit],
  });
  return row!.pending;
}

/**
 * Forgets it, and all that it was to be told: page by page, after it is disabled, as whoever commits a verdict meanwhile would wait for all
 * of it together. @returns whether there was one.
 */
export async function removeDestination(db: Pool, id: string): Promise<boolean> {
  await query(db, {
    name: "end_destination",
    text: "update destinations set enabled = false where id = $1 and enabled",
    values: [id],
  });
  while ((await forgetDeliveries(db, id)) === PAGE);
  const [row] = await query<{ removed: boolean }>(db, {
    name: "remove_destination",
    text: "select remove_destination($1) as removed",
    values: [id],
  });
  return row!.removed;
}

/** Of two that delete what one change was to tell, each would see the other's, and nobody would delete the change: in turns. */
async function forgetDeliveries(db: Pool, id: string): Promise<number> {
  return connection(db, async (client) => {
    await client.query("begin");
    await client.query("select pg_advisory_xact_lock(hashtext('maitred purge_deliveries'))");
    const { rows } = await client.query<{ deleted: number }>(
      `with gone as (
        delete from deliveries where ctid = any (array(
          select ctid from deliveries where destination = $1 limit $2)) returning seq
      ), untold as (
        delete from outbox o using gone g where o.seq = g.seq
          and not exists (select from deliveries d where d.seq = o.seq and d.destination <> $1)
      ) select count(*)::int as deleted from gone`,
      [id, PAGE],
    );
    await client.query("commit");
    return rows[0]!.deleted;
  });
}

/** Deliveries that are deleted in one statement. */
const PAGE = 10_000;
