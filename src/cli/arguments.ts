import { parseArgs } from "node:util";
import { asError } from "../errors.ts";
import { closest } from "./closest.ts";
import { type Arguments, type Options, UsageError, type Values } from "./command.ts";

/** The options and words after a command. @throws {UsageError} */
export function argumentsOf<Declared extends Options>(
  given: readonly string[],
  options: Declared,
): Arguments<Declared> {
  try {
    const args = withNegatives(given, options);
    const { values, positionals } = parseArgs({ args, options: options as Options, allowPositionals: true });
    refuseBlank(values);
    const blank = positionals.find((each) => each.trim() === "");
    if (blank !== undefined) throw new UsageError(`expected a word, got ${JSON.stringify(blank)}`);
    return { values: values as Values<Declared>, positionals };
  } catch (thrown) {
    const error = asError(thrown);
    if (!String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS")) throw error;
    throw new UsageError(inOurWords(error.message, options), { cause: error });
  }
}

/** A number below zero is a value, and no option. */
function withNegatives(given: readonly string[], options: Options): string[] {
  const args: string[] = [];
  for (const arg of given) {
    const before = args.at(-1) ?? "";
    const takes = before.startsWith("--") && options[before.slice(2)]?.type === "string";
    if (takes && /^-[\d.]/.test(arg)) args[args.length - 1] = `${before}=${arg}`;
    else args.push(arg);
  }
  return args;
}

/** Blank is what a shell makes of a variable that is not set: nothing means anything by it, and as a path it would be the folder at hand. */
function refuseBlank(values: Values<Options>): void {
  for (const [name, given] of Object.entries(values)) {
    const blank = [given].flat().find((each) => typeof each === "string" && each.trim() === "");
    if (blank !== undefined)
      throw new UsageError(`--${name}: expected a value, got ${JSON.stringify(blank)}`);
  }
}

/** What Node says of arguments, without what it says to programmers. */
function inOurWords(message: string, options: Options): string {
  const unknown = /^Unknown option '(--?[^']+)'/.exec(message)?.[1];
  if (unknown !== undefined) {
    const names = Object.keys(options).map((each) => `--${each}`);
    return `there is no option ${unknown}${closest(unknown, names)}`;
  }
  const flag = /^Option '(?:-\w, )?(--[^' ]+)' does not take an argument/.exec(message)?.[1];
  if (flag !== undefined) return `${flag}: takes no value`;
  const bare = /^Option '(?:-\w, )?(--[^' ]+)(?: <value>)?' argument (?:missing|is ambiguous)/.exec(
    message,
  )?.[1];
  if (bare === undefined) return message;
  return `${bare}: expected a value; one that begins with a dash is written ${bare}=VALUE`;
}
