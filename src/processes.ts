import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** Whether there is such a process, of whichever user, that has not ended. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  // one that has ended stays until its parent asks, and the first process of a container may never ask
  return !/\) Z /.test(readIfThere(`/proc/${pid}/stat`));
}

/** The command line of a living process; "" for none, and for 0, which is what a file just being written says. */
export function commandOf(pid: number): string {
  if (!(pid > 0) || !isAlive(pid)) return "";
  if (!existsSync("/proc/self/cmdline")) {
    return spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout;
  }
  return readIfThere(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

/** A file that another process may remove at any moment; "" when it has. */
export function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (/^(ENOENT|ESRCH)$/.test(String((error as NodeJS.ErrnoException).code))) return "";
    throw error;
  }
}
