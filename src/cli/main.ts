/** The command line as a process: what ends it early, and how it ends. */
import { constants } from "node:os";
import { run } from "./run.ts";
import { openTerminal } from "./terminal.ts";

let gone = false;
/** Whoever read has seen enough, as `head` does: drains where there is something to drain, and ends quietly. */
function onGone(error: NodeJS.ErrnoException): void {
  // the terminal was closed, which SIGHUP tells
  if (error.code === "EIO") return;
  if (error.code !== "EPIPE") throw error;
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
process.stdout.on("error", onGone);
process.stderr.on("error", onGone);
// the SDK that is locked supports every Node that we do; its warning is about versions to come
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] = "true";
const code = await run(process.argv.slice(2), openTerminal(process));
// what ended it early says more
process.exitCode ??= code;
// a pipe that is read slowly gets all of it before this ends; what is still open by mistake cannot hold it up
if (process.stdout.writableLength > 0) await new Promise((resolve) => process.stdout.once("drain", resolve));
// that nobody reads any more is told a moment after it was written
await new Promise(setImmediate);
process.exit();
