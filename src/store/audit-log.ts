import { type Pool, query } from "./pool.ts";

export interface AuditEntry {
  id: string;
  /** ISO 8601. */
  at: string;
  who: string;
  /** Such as `decided` or `revoked`. */
  did: string;
  photo: string | null;
  about: Record<string, unknown>;
}

/** Writes down what somebody did at the desk, where the statement that did it does not. */
export async function addAuditEntry(
  db: Pool,
  { who, did, photo, about }: Omit<AuditEntry, "id" | "at">,
): Promise<void> {
  await query(db, {
    name: "add_audit_entry",
    text: "insert into audit_log (who, did, photo, about) values ($1, $2, $3, $4)",
    values: [who, did, photo, about],
  });
}

/** The newest first. @param before only what is older than this one. */
export async function readAuditLog(
  db: Pool,
  before: string | undefined,
  limit: number,
): Promise<AuditEntry[]> {
  return query<AuditEntry>(db, {
    name: "read_audit_log",
    text: `select id, to_json(at) as at, who, did, photo, about from audit_log
      where id < coalesce($1::bigint, 9223372036854775807) order by id desc limit $2`,
    values: [before ?? null, limit],
  });
}
