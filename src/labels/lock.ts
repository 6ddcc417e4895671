import { type FileHandle, open, readFile, readlink, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { isAlive } from "../processes.ts";
import { whyNot } from "../replace-file.ts";

/**
 * Works while no other export writes to the folder.
 *
 * @throws {ConfigError} where one does, or ended without a word on another machine or in another container.
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
  const { host, boot, processes } = await place();
  let file: FileHandle | undefined;
  try {
    file = await open(lock, "wx");
    await file.writeFile(`${process.pid} ${host} ${boot} ${processes}\n`);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false;
    // one without its owner would be held for good; it is ours where it was opened
    if (file) await rm(lock, { force: true });
    throw new ConfigError(`${lock}: expected a file that can be written: ${whyNot(thrown)}`, {
      cause: thrown,
    });
  } finally {
    await file?.close();
  }
}

/** Whether its process ended without taking it away. Of one that is not seen from here nobody here knows. */
async function isLeftBehind(lock: string): Promise<boolean> {
  const [pid, host, boot, processes] = (await readFile(lock, "utf8").catch(() => "")).trim().split(" ");
  const here = await place();
  if (host !== here.host || processes === undefined) return false;
  // nothing outlives its machine
  if (boot !== here.boot) return true;
  return processes === here.processes && !isAlive(Number(pid));
}

/**
 * Where the id of a process is that of one process: on a machine, since it was started, and in a container, as many may have
 * the name of their machine. Elsewhere than on Linux the machine alone tells.
 */
async function place(): Promise<{ host: string; boot: string; processes: string }> {
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "-");
  const processes = await readlink("/proc/self/ns/pid").catch(() => "-");
  return { host: hostname(), boot: boot.trim(), processes };
}

function held(lock: string): ConfigError {
  return new ConfigError(
    `${lock}: expected no other export into this folder: wait for it, or remove the file if there is none`,
  );
}
