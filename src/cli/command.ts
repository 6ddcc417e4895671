import type { ParseArgsConfig, parseArgs } from "node:util";
import { type Config, readConfig } from "../config.ts";
import { findPostgres } from "../embedded/postgres.ts";
import { ConfigError } from "../errors.ts";
import type { Terminal } from "./terminal.ts";

export type { Terminal };

export type Options = NonNullable<ParseArgsConfig["options"]>;

/** What was given for options, each of the type that it was declared with. */
export type Values<Declared extends Options> = ReturnType<typeof parseArgs<{ options: Declared }>>["values"];

export interface Arguments<Declared extends Options> {
  values: Values<Declared>;
  positionals: readonly string[];
}

/** One command: data, not a framework. The number that `run` returns is the exit code. */
export interface Command<Declared extends Options = Options> {
  /** Printed by --help: usage, an example, and what the exit codes mean where they are its own. */
  help: string;
  /** Whether words besides options mean anything to it; without, each is refused before it runs. */
  words?: true;
  options: Declared;
  run(args: Arguments<Declared>, terminal: Terminal): Promise<number>;
}

/** Lets TypeScript know the values that `run` gets by the options beside it. */
export function defineCommand<Declared extends Options>(command: Command<Declared>): Command<Declared> {
  return command;
}

/** Options with a value, which is never blank; undefined where it was not given. */
export function texts<Name extends string>(...names: Name[]) {
  return declared(names, { type: "string" });
}

/** Options without one: true where it was given, else false. */
export function flags<Name extends string>(...names: Name[]) {
  return declared(names, { type: "boolean", default: false });
}

function declared<Name extends string, const Each>(names: Name[], each: Each): Record<Name, Each> {
  return Object.fromEntries(names.map((name) => [name, each])) as Record<Name, Each>;
}

/** Exit codes, the same for every command. */
export const EXIT = {
  done: 0,
  /** The command ran, and what it looked at is not all well. */
  notAll: 1,
  /** Wrong usage, or a setting that cannot be. */
  usage: 2,
  /** Postgres, the queue, or the store does not answer. */
  unavailable: 3,
  bug: 70,
} as const;

export class UsageError extends Error {}

/** What a command was to act on is not there: exit code 1. */
export class NotThereError extends Error {}

/** As `withEmbedded`. @throws {ConfigError} where there is no Postgres. */
export function connectedConfig(terminal: Terminal): Config {
  const config = withEmbedded(readConfig(terminal.env));
  if (config.databaseUrl) return config;
  const message = "DATABASE_URL: expected a postgres:// URL, or a running maitred up";
  throw new ConfigError(message);
}

/** The settings, with the embedded Postgres of a running `maitred up`, if there is one, where no other is named. */
export function withEmbedded(config: Config): Config {
  const databaseUrl = config.databaseUrl || (findPostgres(config.home) ?? "");
  return { ...config, databaseUrl, queueUrl: config.queueUrl || (config.queueOptions ? "" : databaseUrl) };
}
