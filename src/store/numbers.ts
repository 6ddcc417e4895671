import { type Queryable, query } from "./pool.ts";

/**
 * Gives no number again that a database may have given which was lost since the one at hand was saved: receivers drop a message whose
 * number they have, jobs and pages still speak of photos and verdicts by theirs. Harmless to repeat.
 *
 * @returns the last photo that the database knows: those of higher ids, up to now, are lost. "0" where it knows none.
 */
export async function skipNumbers(db: Queryable): Promise<string> {
  const [state] = await query<{ last: string }>(db, {
    text: `select (select coalesce(max(id), 0) from photos)::text as last, (
      select count(setval(s, nextval(s) + ${MOST_LOST}))
      from unnest(array['outbox_seq', pg_get_serial_sequence('photos', 'id'), pg_get_serial_sequence('verdicts', 'id')]::regclass[]) s)`,
  });
  return state!.last;
}

/** More than anybody loses; what goes through all photos passes it in seconds. */
const MOST_LOST = 100_000_000;
