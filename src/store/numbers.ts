import { type Queryable, query } from "./pool.ts";

/**
 * Gives no number again that a database may have given which was lost since the one at hand was saved: receivers drop a message whose
 * number they have, jobs and pages still speak of photos and verdicts by theirs. Harmless to repeat.
 *
 * @returns a number of messages: all from now on have higher ones, and all that were given before, also those that are lost, lower ones.
 */
export async function skipNumbers(db: Queryable): Promise<string> {
  const skip = (sequence: string, most: number): string =>
    `setval(${sequence}, nextval(${sequence}) + ${most})::text`;
  const [given] = await query<{ sequence: string }>(db, {
    text: `select ${skip("pg_get_serial_sequence('photos', 'id')", MOST_PHOTOS)} as photo,
      ${skip("pg_get_serial_sequence('verdicts', 'id')", MOST_VERDICTS)} as verdict,
      ${skip("'outbox_seq'", MOST_VERDICTS)} as sequence`,
  });
  return given!.sequence;
}

/** More than anybody loses; a backfill of all photos looks at 50,000 ids at once, and so passes it in seconds. */
const MOST_PHOTOS = 10_000_000;
/** All photos may have been judged again, and told of. */
const MOST_VERDICTS = 1_000_000_000;
