import type { AuditEntry } from "../http/desk/deps.ts";
import { connection, type Pool, type Queryable, query } from "./pool.ts";

type NewAuditEntry = Omit<AuditEntry, "id" | "at" | "token">;

/**
 * Does what Postgres alone does and writes down who did it, in one transaction: neither is there without the other.
 *
 * @param act does it on the connection that it is given; without an entry nothing was done.
 * @throws what `act` does, and {UpstreamError} DATABASE_UNAVAILABLE: nothing was done, or nobody knows.
 */
export async function audited<T>(
  db: Pool,
  act: (client: Queryable) => Promise<{ answer: T; entry: NewAuditEntry | undefined }>,
): Promise<T> {
  return connection(db, async (client) => {
    await client.query("begin");
    const { answer, entry } = await act(client);
    if (entry) await addAuditEntry(client, entry);
    await client.query("commit");
    return answer;
  });
}

/** Writes down what somebody does at the desk; before it is done, where that is more than a transaction. */
export async function addAuditEntry(db: Queryable, { who, did, photo, about }: NewAuditEntry): Promise<void> {
  await query(db, {
    name: "add_audit_entry",
    text: "insert into audit_log (who, did, photo, about) values ($1, $2, $3, $4)",
    values: [who, did, photo, about],
  });
}

export interface LaneChange {
  lane: string;
  state: "running" | "paused";
  who: string;
  at: Date;
  why: string;
}

/** Of each lane of the queues of `prefix`, what was written down last of who paused or resumed it. */
export async function lastLaneChanges(db: Pool, prefix: string): Promise<LaneChange[]> {
  return query<LaneChange>(db, {
    name: "last_lane_changes",
    text: `select distinct on (about ->> 'lane') about ->> 'lane' as lane, about ->> 'state' as state, who, at, about ->> 'why' as why
      from audit_log where did = 'changed-lane' and about ->> 'prefix' = $1 order by about ->> 'lane', id desc`,
    values: [prefix],
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
    text: `select id, to_json(at) as at, who, did, photo, about,
        (select name from tokens t where t.id = substring(who from '^token:(.*)$')) as token
      from audit_log
      where id < coalesce($1::bigint, 9223372036854775807) order by id desc limit $2`,
    values: [before ?? null, limit],
  });
}
