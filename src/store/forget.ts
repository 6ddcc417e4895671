import type { Store } from "../photo.ts";
import { connection, type Pool } from "./pool.ts";

export interface Forgotten {
  /** How many rows of each table went, by its name. */
  counts: Record<string, number>;
  /** The photos that they were of, which a queue may hold too. */
  photoIds: string[];
}

/**
 * Erases everything that is known of objects, in one transaction; see forget_objects.
 *
 * @param by who wants it; it is written down with the counts.
 * @param dry rolls it back, so that the answer is what would be erased.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE: nothing was erased, or nobody knows.
 * @throws {UpstreamError} DATABASE_FORBIDDEN: this role may not, and nothing was erased.
 */
export async function forgetObjects(
  db: Pool,
  objects: readonly { store: Store; bucket: string; key: string }[],
  by: string,
  dry: boolean,
): Promise<Forgotten> {
  return connection(db, async (client) => {
    await client.query("begin");
    // it reads the answers of a day and every message that nobody understood
    await client.query(`set local statement_timeout = ${LONGEST_MS}`);
    const spelled = objects.map((object) => ({ ...object, spellings: spellingsOf(object.key) }));
    const unhurried = {
      text: "select what, count from forget_objects($1, $2)",
      values: [JSON.stringify(spelled), by],
      query_timeout: LONGEST_MS,
    };
    const { rows } = await client.query<{ what: string; count: string }>(unhurried);
    await client.query(dry ? "rollback" : "commit");
    const photo = /^photo (\d+)$/;
    return {
      counts: Object.fromEntries(
        rows.filter(({ what }) => !photo.test(what)).map(({ what, count }) => [what, Number(count)]),
      ),
      photoIds: rows.flatMap(({ what }) => photo.exec(what)?.[1] ?? []),
    };
  });
}

/** How a message may write a key: as it is, as in a URL, as in a form; with or without slashes, and each of them in JSON. */
function spellingsOf(key: string): string[] {
  const encoded = encodeURIComponent(key);
  const slashes = encoded.replaceAll("%2F", "/");
  const spelled = [key, encoded, slashes, encoded.replaceAll("%20", "+"), slashes.replaceAll("%20", "+")];
  return [...new Set([...spelled, JSON.stringify(key).slice(1, -1)])];
}

const LONGEST_MS = 15 * 60_000;
