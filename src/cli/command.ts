import type { ParseArgsConfig } from "node:util";
import { type Config, readConfig } from "../config.ts";
import { findPostgres } from "../embedded/postgres.ts";
import { ConfigError } from "../errors.ts";
import { columnsOf, pad } from "./columns.ts";
import { printable, type Terminal } from "./terminal.ts";

export type { Terminal };

export interface Arguments {
  values: Readonly<Record<string, string | boolean | undefined>>;
  /** Of options that may be given several times. */
  lists?: Readonly<Record<string, readonly string[]>>;
  positionals: readonly string[];
}

/** One command: data, not a framework. The number that `run` returns is the exit code. */
export interface Command {
  /** Printed by --help: usage, an example, and what the exit codes mean where they are its own. */
  help: string;
  options: NonNullable<ParseArgsConfig["options"]>;
  run(args: Arguments, terminal: Terminal): Promise<number>;
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
  throw new ConfigError("CONFIG_INVALID", message);
}

/** The settings, with the embedded Postgres of a running `maitred up`, if there is one, where no other is named. */
export function withEmbedded(config: Config): Config {
  const databaseUrl = config.databaseUrl || (findPostgres(config.home) ?? "");
  return { ...config, databaseUrl, queueUrl: config.queueUrl || (config.queueOptions ? "" : databaseUrl) };
}

/** Lines of columns, each as wide as its widest cell as it is printed; the last is not padded. */
export function table(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of rows)
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, columnsOf(cell));
  return rows.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}
