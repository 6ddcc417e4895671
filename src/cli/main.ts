/** The command line as a process: what ends it early, and how it ends. */
import { constants } from "node:os";
import { ConfigError } from "../errors.ts";
import { whyNot } from "../replace-file.ts";
import { EXIT } from "./command.ts";
import { run } from "./run.ts";
import { openTerminal } from "./terminal.ts";

const terminal = openTerminal(process);
let gone = false;
/** Whoever read has seen enough, as `head` does: drains where there is something to drain, and ends quietly. */
function onGone(error: NodeJS.ErrnoException): void {
  // the terminal was closed, which SIGHUP tells
  if (error.code === "EIO") return;
  // a second signal would not drain
  if (gone) return;
  gone = true;
  process.exitCode = 128 + constants.signals.SIGPIPE;
  if (process.emit("SIGTERM", "SIGTERM")) return;
  // by the signal itself, as a process that exits inside of a model run is aborted; Node ignores it until a listener of it was removed
  const ignore = (): void => {};
  process.on("SIGPIPE", ignore).off("SIGPIPE", ignore);
  process.kill(process.pid, "SIGPIPE");
  // the first process of a container gets no signal that it does not listen to
  process.exit();
}
let unwritten: ConfigError | undefined;
/** A full disk, most often: drains where there is something to drain; elsewhere the next line that is printed ends it. */
function onUnwritten(error: Error): void {
  if (unwritten) return;
  unwritten = new ConfigError(`what it prints cannot be written: ${whyNot(error)}`);
  process.exitCode = EXIT.notAll;
  if (process.emit("SIGTERM", "SIGTERM")) sayUnwritten();
}
const sayUnwritten = (): void => terminal.say(`maitred: ${unwritten?.message}\n`);
function print(line: string): void {
  // a drain goes on without its lines
  if (unwritten && process.listenerCount("SIGTERM") === 0) throw unwritten;
  terminal.print(line);
}
process.stdout.on("error", (error: NodeJS.ErrnoException) =>
  error.code === "EPIPE" || (error.code === "EIO" && process.stdout.isTTY)
    ? onGone(error)
    : onUnwritten(error),
);
// what is said for a person is no reason to end
process.stderr.on("error", (error: NodeJS.ErrnoException) => void (error.code === "EPIPE" && onGone(error)));
// the SDK that is locked supports every Node that we do; its warning is about versions to come
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] = "true";
const code = await run(process.argv.slice(2), { ...terminal, print });
// what ended it early says more
process.exitCode ??= code;
// a pipe that is read slowly gets all of it before this ends; what is still open by mistake cannot hold it up
if (process.stdout.writableLength > 0 && !process.stdout.errored)
  await new Promise((resolve) => process.stdout.once("drain", resolve));
// that nobody reads any more, or that nothing could be written, is told a moment after it was written
await new Promise(setImmediate);
if (unwritten && code !== EXIT.usage) sayUnwritten();
process.exit();
