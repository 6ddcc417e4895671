import type { Pool } from "../store/pool.ts";
import { closest } from "./closest.ts";
import { type Arguments, connectedConfig, type Terminal, UsageError } from "./command.ts";
import { withPostgres } from "./postgres.ts";

/** One of the words after a command. Checks what was asked for, and returns what does it. */
export type Subcommand = (
  rest: readonly string[],
  args: Arguments,
  terminal: Terminal,
) => (db: Pool) => Promise<number>;

/** Runs the word that comes first, with Postgres at hand. @throws as `choose` and `withPostgres` do. */
export async function runSubcommand(
  words: ReadonlyMap<string, Subcommand>,
  args: Arguments,
  terminal: Terminal,
): Promise<number> {
  const [command, rest] = choose(words, args.positionals);
  // what is wrong with the arguments is said first
  const work = command(rest, args, terminal);
  return withPostgres(connectedConfig(terminal), work);
}

/**
 * What the first word stands for, and the words after it.
 *
 * @throws {UsageError} which names all there are, and the one that was probably meant.
 */
export function choose<Part>(
  words: ReadonlyMap<string, Part>,
  [word = "", ...rest]: readonly string[],
): [Part, string[]] {
  const part = words.get(word);
  if (part !== undefined) return [part, rest];
  const names = [...words.keys()];
  const all = `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
  const meant = closest(word, names);
  throw new UsageError(
    word === "" ? `expected ${all}` : `expected ${all}, got ${JSON.stringify(word)}${meant}`,
  );
}

/** @throws {UsageError} where there are more words than `word` reads. */
export function nothingAfter(word: string, [more]: readonly string[]): void {
  if (more !== undefined) throw new UsageError(`expected nothing after ${word}, got ${JSON.stringify(more)}`);
}

/** The id that is all there is after a word of `maitred COMMAND`. @throws {UsageError} */
export function oneId(command: string, [id, ...more]: readonly string[]): string {
  if (id !== undefined && more.length === 0) return id;
  throw new UsageError(`expected one id, as maitred ${command} list shows it`);
}
