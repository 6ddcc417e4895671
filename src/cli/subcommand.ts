import type { Pool } from "../store/pool.ts";
import { closest } from "./closest.ts";
import {
  type Arguments,
  connectedConfig,
  EXIT,
  type Options,
  type Terminal,
  UsageError,
  type Values,
} from "./command.ts";
import { either } from "./plural.ts";
import { withPostgres } from "./postgres.ts";

/** One of the words after a command. Checks what was asked for, files here among it, and returns what does it. */
export type Subcommand<Declared extends Options> = (
  rest: readonly string[],
  values: Values<Declared>,
  terminal: Terminal,
) => Work | Promise<Work>;
type Work = (db: Pool) => Promise<number>;

/** The words that an option is of; one that is not here is of all. */
export type WordsOf<Declared extends Options> = { readonly [Name in keyof Declared]?: readonly string[] };

/** Runs the word that comes first, with Postgres at hand. @throws as `choose` and `withPostgres` do. */
export async function runSubcommand<Declared extends Options>(
  words: Readonly<Record<string, Subcommand<Declared>>>,
  args: Arguments<Declared>,
  wordsOf: WordsOf<Declared>,
  terminal: Terminal,
): Promise<number> {
  const [command, rest] = choose(words, args, wordsOf);
  // what is wrong with the arguments is said first
  const work = await command(rest, args.values, terminal);
  return withPostgres(connectedConfig(terminal), work);
}

/**
 * What the first word stands for, and the words after it.
 *
 * @throws {UsageError} which names all there are, and the one that was probably meant; or an option of another word, which
 *   would silently do nothing.
 */
export function choose<Part, Declared extends Options>(
  words: Readonly<Record<string, Part>>,
  { positionals: [word = "", ...rest], values }: Arguments<Declared>,
  wordsOf: WordsOf<Declared>,
): [Part, string[]] {
  const part = Object.hasOwn(words, word) ? words[word] : undefined;
  if (part === undefined) {
    const names = Object.keys(words);
    const got = word === "" ? "" : `, got ${JSON.stringify(word)}${closest(word, names)}`;
    throw new UsageError(`expected ${either(names)}${got}`);
  }
  for (const [name, given] of Object.entries(values)) {
    if (given && wordsOf[name]?.includes(word) === false) throw new UsageError(`${word} has no --${name}`);
  }
  return [part, rest];
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

/** Says that nothing has that id, of what `maitred COMMAND list` shows. @returns the exit code. */
export function noneOf({ say }: Terminal, command: string, id: string, kind = command): number {
  say(`there is no ${kind} ${JSON.stringify(id)}: maitred ${command} list shows them\n`);
  return EXIT.notAll;
}
