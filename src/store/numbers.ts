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
      select count(setval(s, nextval(s) + most)) from (values
        (pg_get_serial_sequence('photos', 'id')::regclass, ${MOST_PHOTOS}),
        (pg_get_serial_sequence('verdicts', 'id')::regclass, ${MOST_VERDICTS}),
        ('outbox_seq'::regclass, ${MOST_VERDICTS})) as given (s, most))`,
  });
  return state!.last;
}

/** More than anybody loses; a backfill of all photos looks at 50,000 ids at once, and so passes it in seconds. */
const MOST_PHOTOS = 10_000_000;
/** All photos may have been judged again, and told of. */
const MOST_VERDICTS = 1_000_000_000;
