/** Finds the command, gives it its arguments, turns what it throws into an exit code. */
import { asError, ConfigError, ModerationError } from "../errors.ts";
import { packageVersion } from "../package-root.ts";
import { argumentsOf } from "./arguments.ts";
import { closest } from "./closest.ts";
import { EXIT, NotThereError, UsageError } from "./command.ts";
import { commands } from "./commands.ts";
import { table } from "./output.ts";
import { type Terminal, wipeStatus } from "./terminal.ts";

/** @returns the exit code; never throws. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name = "--help", ...rest] = argv[0] === "help" && argv[1] ? [argv[1], "--help"] : argv;
  if (name === "--version" || name === "-v") {
    terminal.print(packageVersion());
    return EXIT.done;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    for (const line of overview()) terminal.print(line);
    return EXIT.done;
  }
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!found) {
    const meant = closest(name, Object.keys(commands));
    terminal.say(`maitred: there is no command ${JSON.stringify(name)}${meant}\nmaitred --help lists them\n`);
    return EXIT.usage;
  }
  try {
    const command = await found.load();
    const args = argumentsOf(rest, { ...command.options, help: { type: "boolean", short: "h" } });
    if (args.values.help) {
      for (const line of command.help.trim().split("\n")) terminal.print(line);
      return EXIT.done;
    }
    const [more] = args.positionals;
    if (more !== undefined && !command.words)
      throw new UsageError(`expected options only, got ${JSON.stringify(more)}`);
    return await command.run(args, terminal);
  } catch (thrown) {
    return explain(name, asError(thrown), terminal);
  }
}

function overview(): string[] {
  const rows = Object.entries(commands).map(([name, { summary }]) => [`  ${name}`, summary]);
  return [
    "maitred sorts restaurant photos into food, ambience, menu and other, and hides every photo of a human.",
    "",
    "  maitred up ./my-photos       everything embedded, on a folder of yours",
    "",
    ...table(rows),
    "",
    "maitred COMMAND --help shows its usage. Settings: maitred config.",
    "Exit codes: 0 done, 1 not all is well, 2 usage or settings, 3 a neighbour does not answer, 70 a bug,",
    "141 whoever read what it prints, such as head, has seen enough.",
  ];
}

function explain(name: string, error: Error, terminal: Terminal): number {
  wipeStatus(terminal);
  // of the text in a message some is from outside: a line of it that could pass for another message is told apart
  const say = (message: string, more = ""): void =>
    terminal.say(`maitred ${name}: ${message.replaceAll("\n", "\n  ")}\n${more}`);
  if (error instanceof UsageError) {
    say(error.message, `maitred ${name} --help shows how to use it\n`);
    return EXIT.usage;
  }
  if (error instanceof NotThereError) {
    say(error.message);
    return EXIT.notAll;
  }
  if (
    error instanceof ConfigError ||
    (error instanceof ModerationError && error.code === "DATABASE_FORBIDDEN")
  ) {
    say(error.message);
    return EXIT.usage;
  }
  if (error instanceof ModerationError) {
    const todo = error.code === "DATABASE_UNAVAILABLE" && codeUnreached(error.cause) ? CHECK_POSTGRES : "";
    say(`${error.code}: ${error.message}${todo}`);
    return EXIT.unavailable;
  }
  const code = codeUnreached(error);
  if (code) {
    say(`Postgres cannot be reached: ${error.message || code}; check DATABASE_URL`);
    return EXIT.unavailable;
  }
  const todo = MACHINE[String((error as { code?: unknown }).code)];
  if (todo) {
    say(`${error.message}: ${todo}`);
    return EXIT.unavailable;
  }
  say(error.stack ?? error.message);
  return EXIT.bug;
}

/** The code of what came of connecting to Postgres, where that is what failed. */
function codeUnreached(thrown: unknown): string | undefined {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return typeof code === "string" && UNREACHED.test(code) ? code : undefined;
}

const UNREACHED = /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|28|3D)/;
const CHECK_POSTGRES = ": check DATABASE_URL, and that Postgres runs and lets this role in";
/** What to do where the machine, or what this process may have of it, is used up, wherever that shows. */
const MACHINE: Readonly<Record<string, string>> = {
  EMFILE: "raise ulimit -n",
  ENFILE: "the machine has no file left to open",
  ENOSPC: "make room on the disk",
  EDQUOT: "make room, or raise the quota of this account",
  EFBIG: "raise ulimit -f",
  EROFS: "the disk is read-only",
};
