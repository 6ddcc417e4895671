import { asError, ConfigError } from "../errors.ts";
import { type Pool, query } from "./pool.ts";

/**
 * Writes nine megabytes to the disk of the database, which are gone with the end of the transaction. A role that may not do so learns nothing.
 *
 * @throws {ConfigError} where there is no room for them.
 */
export async function requireRoom(db: Pool): Promise<void> {
  try {
    // sent as one they are one transaction; whatever is temporary may have a disk of its own
    await query(db, {
      text: `set local temp_tablespaces = '';
        create temporary table room on commit drop as select generate_series(1, 250000) n`,
    });
  } catch (thrown) {
    const cause = asError(asError(thrown).cause);
    // other refusals say nothing of the disk: that the role may not, its own limit, or a trigger of what audits tables that are made
    if ((cause as { code?: unknown }).code !== DISK_FULL) return;
    throw new ConfigError(`its disk is full: make room there, and photos wait until then: ${cause.message}`, {
      cause,
    });
  }
}

const DISK_FULL = "53100";
