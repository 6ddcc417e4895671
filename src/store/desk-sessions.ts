import type { StoredSession } from "../http/desk/access.ts";
import { type Pool, query } from "./pool.ts";

/**
 * Signs somebody in; see start_session.
 *
 * @returns when the session ends at the latest, and what history calls this person: the name that was asked for, unless it is
 * of another.
 */
export async function startSession(
  db: Pool,
  session: Pick<StoredSession, "id" | "hash" | "subject" | "name" | "roles">,
  lastsS: number,
): Promise<{ endsAt: string; name: string }> {
  const { id, hash, subject, name, roles } = session;
  const rows = await query<{ endsAt: string; name: string }>(db, {
    name: "start_session",
    text: `select to_json(ends) as "endsAt", person as name from start_session($1, $2, $3, $4, $5, $6)`,
    values: [id, hash, subject, name, roles, lastsS],
  });
  return rows[0]!;
}

/**
 * The session with this id, while it holds: it has neither ended, nor been unused for `idleS`, nor is its token revoked or gone.
 *
 * @param usedWith hash of the secret that it is used with now; undefined: to look is no use of it. A wrong one uses nothing.
 */
export async function findSession(
  db: Pool,
  id: string,
  { idleS, usedWith }: { idleS: number; usedWith: Uint8Array | undefined },
): Promise<StoredSession | undefined> {
  const [session] = await query<StoredSession & { stale: boolean }>(db, {
    name: "find_session",
    text: `select ${COLUMNS}, s.seen_at < now() - ${RENEWED} as stale
      from desk_sessions s where s.id = $1 and ${holds("$2")}`,
    values: [id, idleS],
  });
  if (!session) return undefined;
  const { stale, ...found } = session;
  if (stale && usedWith) {
    await query(db, {
      name: "touch_session",
      text: `update desk_sessions set seen_at = now() where id = $1 and hash = $3 and seen_at < now() - ${RENEWED}`,
      values: [id, idleS, usedWith],
    });
  }
  return found;
}

/** All that hold, the newest first. */
export async function listSessions(db: Pool, idleS: number): Promise<StoredSession[]> {
  return query<StoredSession>(db, {
    name: "list_sessions",
    text: `select ${COLUMNS} from desk_sessions s where ${holds("$1")} order by s.started_at desc, s.id limit 1000`,
    values: [idleS],
  });
}

/**
 * Ends a session; see end_session.
 *
 * @param did what the audit log calls it.
 * @returns whether there was one.
 */
export async function endSession(
  db: Pool,
  id: string,
  by: string,
  did: "signed-out" | "revoked",
): Promise<boolean> {
  const rows = await query<{ ended: boolean }>(db, {
    name: "end_session",
    text: "select end_session($1, $2, $3) as ended",
    values: [id, by, did],
  });
  return rows[0]!.ended;
}

function holds(idleS: string): string {
  return `s.ended_at is null and s.ends_at > now() and s.seen_at > now() - make_interval(secs => ${idleS})
    and (s.subject not like 'token:%'
      or exists (select from tokens t where 'token:' || t.id = s.subject and t.revoked_at is null))`;
}

const COLUMNS = `s.id, s.hash, s.subject, s.name, s.roles, to_json(s.started_at) as "startedAt",
  to_json(s.seen_at) as "seenAt", to_json(s.ends_at) as "endsAt"`;

/** Not with every request, and often enough for the shortest that a session may be idle. */
const RENEWED = "make_interval(secs => least(60, $2::float8 / 4))";
