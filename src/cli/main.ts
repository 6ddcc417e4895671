/** The command line: finds the command, gives it its arguments, turns what it throws into an exit code. */
import { parseArgs } from "node:util";
import { asError, ConfigError, ModerationError } from "../errors.ts";
import { packageVersion } from "../package-root.ts";
import { api } from "./api.ts";
import { backfill } from "./backfill.ts";
import { calibrate } from "./calibrate.ts";
import { classify } from "./classify.ts";
import { closest } from "./closest.ts";
import {
  type Arguments,
  type Command,
  EXIT,
  NotThereError,
  type Terminal,
  table,
  UsageError,
} from "./command.ts";
import { config } from "./config.ts";
import { deliver } from "./deliver.ts";
import { deliveries } from "./deliveries.ts";
import { destination } from "./destination.ts";
import { doctor } from "./doctor.ts";
import { enqueue } from "./enqueue.ts";
import { evaluate } from "./evaluate.ts";
import { events } from "./events.ts";
import { feed } from "./feed.ts";
import { forget } from "./forget.ts";
import { labels } from "./labels.ts";
import { listen } from "./listen.ts";
import { migrate } from "./migrate.ts";
import { model } from "./model.ts";
import { policy } from "./policy.ts";
import { rollups } from "./rollups.ts";
import { session } from "./session.ts";
import { sweep } from "./sweep.ts";
import { token } from "./token.ts";
import { up } from "./up.ts";
import { worker } from "./worker.ts";

const commands: Record<string, Command> = {
  up,
  worker,
  api,
  listen,
  feed,
  deliver,
  enqueue,
  backfill,
  policy,
  sweep,
  forget,
  events,
  destination,
  deliveries,
  classify,
  evaluate,
  calibrate,
  labels,
  model,
  token,
  session,
  migrate,
  rollups,
  doctor,
  config,
};

async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name = "--help", ...rest] = argv;
  if (name === "--version" || name === "-v") {
    terminal.print(packageVersion());
    return EXIT.done;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    terminal.print(overview());
    return EXIT.done;
  }
  const command = commands[name];
  if (!command) {
    const meant = closest(name, Object.keys(commands));
    terminal.say(`maitred: there is no command ${JSON.stringify(name)}${meant}\nmaitred --help lists them\n`);
    return EXIT.usage;
  }
  try {
    const help = { help: { type: "boolean", short: "h" } } as const;
    const options = { ...command.options, ...help };
    const { values, positionals } = parseArgs({ args: rest, options, allowPositionals: true });
    if (values["help"]) {
      terminal.print(command.help.trim());
      return EXIT.done;
    }
    return await command.run({ ...sorted(values), positionals }, terminal);
  } catch (thrown) {
    return explain(name, asError(thrown), terminal);
  }
}

function sorted(given: Readonly<Record<string, unknown>>): Pick<Arguments, "values" | "lists"> {
  const lists = Object.entries(given).filter((entry): entry is [string, string[]] => Array.isArray(entry[1]));
  return { values: given as Arguments["values"], lists: Object.fromEntries(lists) };
}

function overview(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => [`  ${name}`, summary]);
  return [
    "maitred sorts restaurant photos into food, ambience, menu and other, and hides every photo of a human.",
    "",
    "  maitred up ./my-photos       everything embedded, on a folder of yours",
    "",
    ...table(rows),
    "",
    "maitred COMMAND --help shows its usage. Settings: maitred config.",
    "Exit codes: 0 done, 1 not all is well, 2 usage or settings, 3 a neighbour does not answer, 70 a bug.",
  ].join("\n");
}

function explain(name: string, error: Error, terminal: Terminal): number {
  const usage =
    error instanceof UsageError || String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS");
  if (usage) {
    const message = error.message.replace(/^Unknown option '(--?[^']+)'.*$/s, (_, option: string) => {
      const options = Object.keys(commands[name]!.options).map((each) => `--${each}`);
      return `there is no option ${option}${closest(option, options)}`;
    });
    terminal.say(`maitred ${name}: ${message}\nmaitred ${name} --help shows how to use it\n`);
    return EXIT.usage;
  }
  if (error instanceof NotThereError) {
    terminal.say(`maitred ${name}: ${error.message}\n`);
    return EXIT.notAll;
  }
  if (error instanceof ConfigError) {
    terminal.say(`maitred ${name}: ${error.message}\n`);
    return EXIT.usage;
  }
  if (error instanceof ModerationError) {
    terminal.say(`maitred ${name}: ${error.code}: ${error.message}\n`);
    return EXIT.unavailable;
  }
  const code = (error as { code?: unknown }).code;
  if (typeof code === "string" && /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|28|3D)/.test(code)) {
    terminal.say(
      `maitred ${name}: Postgres cannot be reached: ${error.message || code}; check DATABASE_URL\n`,
    );
    return EXIT.unavailable;
  }
  terminal.say(`maitred ${name}: ${error.stack ?? error.message}\n`);
  return EXIT.bug;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // whoever read has seen enough, as `head` does: end as by that signal, drained where there is something to drain
  if (error.code === "EPIPE") process.kill(process.pid, "SIGTERM");
  else throw error;
});
// the SDK that is locked supports every Node that we do; its warning is about versions to come
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] = "true";
process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  print: (line) => void process.stdout.write(`${line}\n`),
  say: (text) => void process.stderr.write(text),
  columns: process.stderr.isTTY ? process.stderr.columns : 0,
  stdin: process.stdin,
});
// a pipe that is read slowly gets all of it before this ends; what is still open by mistake cannot hold it up
if (process.stdout.writableLength > 0) await new Promise((resolve) => process.stdout.once("drain", resolve));
process.exit();
