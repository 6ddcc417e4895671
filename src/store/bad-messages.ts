import type { Bad } from "../intake/received-messages.ts";
import { storable } from "../text.ts";
import { type Pool, type Queryable, query } from "./pool.ts";

export interface BadMessage {
  id: string;
  source: string;
  messageId: string;
  /** Bytes of the body as it came; what is above a mebibyte was cut off. */
  bytes: number;
  code: string;
  detail: string;
  /** null where its source does not say. */
  sentAt: Date | null;
  receivedAt: Date;
  attempts: number;
  triedAt: Date;
  resolvedAt: Date | null;
  resolution: "replayed" | "discarded" | null;
}

/** Which messages, all of what is given together. */
export interface BadMessageFilter {
  ids?: readonly string[];
  source?: string;
  since?: Date;
  /** Also those that were replayed or discarded. */
  resolved?: boolean;
}

/** Keeps messages of a queue, which names no two alike; one that is kept already stays as it is, also where it was settled. */
export async function keepBadMessages(db: Pool, source: string, messages: readonly Bad[]): Promise<void> {
  await query(db, {
    name: "keep_bad_messages",
    text: `insert into bad_messages (source, message_id, body, bytes, code, detail, sent_at)
      select $1, * from unnest($2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[])
      on conflict (source, message_id) do nothing`,
    values: [
      source,
      messages.map(({ messageId }) => messageId),
      messages.map(({ body }) => storable(body, MAX_BODY_BYTES)),
      messages.map(({ body }) => Buffer.byteLength(body)),
      messages.map(({ code }) => code),
      messages.map(({ detail }) => storable(detail, MAX_DETAIL_BYTES)),
      messages.map(({ sentAt }) => sentAt),
    ],
  });
}

/**
 * Keeps a message that came over HTTP. One that was settled waits again, as it need not be the same one that came twice.
 *
 * @param most of this source that may wait.
 * @returns "waits" where it did already, and stays as it is; "full" where as many as may wait do, and it is not kept.
 */
export async function keepBadMessage(
  db: Pool,
  source: string,
  { messageId, body, code, detail, sentAt }: Bad,
  most: number,
): Promise<"kept" | "waits" | "full"> {
  const kept = await query(db, {
    name: "keep_bad_message",
    text: `insert into bad_messages as b (source, message_id, body, bytes, code, detail, sent_at)
      select $1, $2, $3, $4::integer, $5, $6, $7::timestamptz
      where (select count(*) from bad_messages where source = $1 and resolved_at is null) < $8
      on conflict (source, message_id) do update set resolved_at = null, resolution = null, received_at = now(),
        code = excluded.code, detail = excluded.detail, attempts = b.attempts + 1, tried_at = now()
      where b.resolved_at is not null
      returning id`,
    values: [
      source,
      messageId,
      storable(body, MAX_BODY_BYTES),
      Buffer.byteLength(body),
      code,
      storable(detail, MAX_DETAIL_BYTES),
      sentAt,
      most,
    ],
  });
  if (kept.length > 0) return "kept";
  const waits = await query(db, {
    name: "bad_message_waits",
    text: "select from bad_messages where source = $1 and message_id = $2 and resolved_at is null",
    values: [source, messageId],
  });
  return waits.length > 0 ? "waits" : "full";
}

/** The oldest first, above the id `after`. */
export async function listBadMessages(
  db: Pool,
  { ids, source, since, resolved = false }: BadMessageFilter,
  after: string,
  limit: number,
): Promise<BadMessage[]> {
  return query<BadMessage>(db, {
    name: "list_bad_messages",
    text: `select ${COLUMNS} from bad_messages
      where id > $1 and ($2::bigint[] is null or id = any ($2)) and ($3::text is null or source = $3)
        and ($4::timestamptz is null or received_at >= $4) and ($5 or resolved_at is null)
      order by id limit $6`,
    values: [after, ids ?? null, source ?? null, since ?? null, resolved, limit],
  });
}

export async function readBadMessage(
  db: Pool,
  id: string,
): Promise<(BadMessage & { body: string }) | undefined> {
  const rows = await query<BadMessage & { body: string }>(db, {
    name: "read_bad_message",
    text: `select ${COLUMNS}, body from bad_messages where id = $1`,
    values: [id],
  });
  return rows[0];
}

/** How many wait for somebody to replay or discard them. */
export async function countBadMessages(db: Pool): Promise<number> {
  const rows = await query<{ count: number }>(db, {
    name: "count_bad_messages",
    text: "select count(*)::integer as count from bad_messages where resolved_at is null",
    values: [],
  });
  return rows[0]!.count;
}

/** @returns whether it waited until now. */
export async function resolveBadMessage(
  db: Queryable,
  id: string,
  resolution: "replayed" | "discarded",
): Promise<boolean> {
  const rows = await query(db, {
    name: "resolve_bad_message",
    text: `update bad_messages set resolved_at = now(), resolution = $2,
        attempts = attempts + ($2 = 'replayed')::integer,
        tried_at = case $2 when 'replayed' then now() else tried_at end
      where id = $1 and resolved_at is null returning id`,
    values: [id, resolution],
  });
  return rows.length > 0;
}

/** Writes down why another try failed. */
export async function retryFailed(db: Pool, id: string, code: string, detail: string): Promise<void> {
  await query(db, {
    name: "retry_failed",
    text: `update bad_messages set attempts = attempts + 1, tried_at = now(), code = $2, detail = $3
      where id = $1 and resolved_at is null`,
    values: [id, code, storable(detail, MAX_DETAIL_BYTES)],
  });
}

/** Forgets what was replayed or discarded more than 30 days ago. */
export async function forgetBadMessages(db: Pool): Promise<void> {
  await query(db, {
    name: "forget_bad_messages",
    text: "delete from bad_messages where resolved_at < now() - interval '30 days'",
  });
}

const COLUMNS = `id, source, message_id as "messageId", bytes, code, detail, sent_at as "sentAt",
  received_at as "receivedAt", attempts, tried_at as "triedAt", resolved_at as "resolvedAt", resolution`;
const MAX_BODY_BYTES = 1_048_576;
const MAX_DETAIL_BYTES = 2_000;
