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

/**
 * How a message may write a key: as it is, or encoded as in a URL or a form, by the rules of JavaScript, of S3 and Java, or
 * of Go and Python; with slashes or without; and each of these in JSON.
 */
function spellingsOf(key: string): string[] {
  const form = new URLSearchParams([["", key]]).toString().slice(1);
  const encoded = [encodeURIComponent(key), form, form.replaceAll("*", "%2A").replaceAll("%7E", "~")]
    .flatMap((each) => [each.replaceAll("+", "%20"), each.replaceAll("%20", "+")])
    .flatMap((each) => [each, each.replaceAll("%2F", "/")]);
  return [...new Set([key, ...[key, ...encoded].flatMap(inJson)])];
}

/** In JSON, and in JSON within JSON, as writers of it differ in what they escape. */
function inJson(text: string): string[] {
  const plain = quoted(text);
  const ascii = escaped(plain, /[^ -~]/g);
  return [
    plain,
    escaped(plain, /[<>&]/g), // Go
    escaped(plain, /[<>&=']/g), // Google
    ascii, // Python
    ascii.replaceAll(/\\u[\da-f]{4}/g, (each) => `\\u${each.slice(2).toUpperCase()}`), // Jackson
    ascii.replaceAll("/", "\\/"), // PHP
  ].flatMap((each) => [each, quoted(each)]);
}

function quoted(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function escaped(json: string, characters: RegExp): string {
  return json.replaceAll(characters, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const LONGEST_MS = 15 * 60_000;
