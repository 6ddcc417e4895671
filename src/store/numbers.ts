import { type Pool, type Queryable, query } from "./pool.ts";

/** A change of the Postgres that the database lies in: a failover, a restore or an upgrade. */
interface Replaced {
  since: Date;
  /** All messages since have a higher number. */
  sequence: string;
}

/**
 * Gives no number again that a database may have given which was lost since the one at hand was saved. Harmless to repeat.
 *
 * @returns a number of messages: all from now on have higher ones, and all that were given before, also those that are lost, lower ones.
 */
export async function skipNumbers(db: Queryable): Promise<string> {
  const [given] = await query<{ sequence: string }>(db, { text: "select skip_numbers()::text as sequence" });
  return given!.sequence;
}

/** The last such change, if there was one. */
export async function lastReplaced(db: Pool): Promise<Replaced | undefined> {
  const [row] = await query<Replaced>(db, {
    text: "select since, sequence::text from lineage where sequence is not null order by id desc limit 1",
  });
  return row;
}
