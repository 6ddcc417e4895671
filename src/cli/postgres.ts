import type { Config } from "../config.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect, type Pool } from "../store/pool.ts";

/**
 * Lends Postgres, with the schema of this version, and closes it afterwards.
 *
 * @throws {ConfigError} where the schema is another.
 */
export function withPostgres<T>(
  where: Pick<Config, "databaseUrl">,
  work: (db: Pool) => Promise<T>,
): Promise<T> {
  return withAnyPostgres(where, async (db) => {
    await requireSchema(db);
    return work(db);
  });
}

/** As `withPostgres`, whatever its schema is. */
export async function withAnyPostgres<T>(
  { databaseUrl }: Pick<Config, "databaseUrl">,
  work: (db: Pool) => Promise<T>,
): Promise<T> {
  const db = connect(databaseUrl, () => {}, CONNECTIONS);
  try {
    return await work(db);
  } finally {
    await db.end();
  }
}

/** Some read a page while they work on the one before. */
const CONNECTIONS = 2;
