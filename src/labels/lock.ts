import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { asError, ConfigError } from "../errors.ts";

/**
 * Works while no other export writes to the folder.
 *
 * @throws {ConfigError} where one does, or ended on another machine without a word.
 */
export async function alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const lock = join(folder, "export.lock");
  if (!(await taken(lock))) {
    if (!(await isLeftBehind(lock))) throw held(lock);
    await rm(lock, { force: true });
    if (!(await taken(lock))) throw held(lock);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function taken(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, `${process.pid} ${hostname()}\n`, { flag: "wx" });
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw thrown;
  }
}

/** Whether its process ended without taking it away. Of another machine's nobody here knows. */
async function isLeftBehind(lock: string): Promise<boolean> {
  const [pid, host] = (await readFile(lock, "utf8").catch(() => "")).trim().split(" ");
  if (host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (thrown) {
    return (asError(thrown) as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function held(lock: string): ConfigError {
  return new ConfigError(
    `${lock}: expected no other export into this folder: wait for it, or remove the file if there is none`,
  );
}
