import { realpathSync, statSync } from "node:fs";
import { delimiter, relative, sep } from "node:path";
import type { Config } from "../config.ts";
import { startPostgres } from "../embedded/postgres.ts";
import { ConfigError } from "../errors.ts";
import { foldersOf, isInside } from "../image/folder.ts";
import type { Scope } from "../lifecycle.ts";
import { readWorkers } from "../store/models.ts";
import { type Terminal, UsageError } from "./command.ts";
import { migrateAll } from "./migrate.ts";
import { makeOutputFolder } from "./output-folder.ts";
import { withPostgres } from "./postgres.ts";
import { printable } from "./terminal.ts";

/** @throws {UsageError} where it cannot be read as one of MAITRED_FOLDERS. */
export function requireFolder(folder: string): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`${folder}: there is no such folder`);
  if (!found.isDirectory())
    throw new UsageError(`${folder}: expected a folder, got a file: maitred classify judges files`);
  if (folder.includes(delimiter))
    throw new UsageError(
      `${folder}: expected a folder without ${delimiter} in its path, which separates those of MAITRED_FOLDERS: rename it, or name a link to it`,
    );
}

/**
 * Postgres, embedded below MAITRED_HOME where DATABASE_URL names none, and the queue, both migrated.
 *
 * @param lost told when the embedded Postgres ends by itself.
 * @returns the settings as they are with these, and with `folders` besides those of MAITRED_FOLDERS.
 * @throws {ConfigError} where another worker on the same Postgres may read other folders.
 * @throws {UsageError} where MAITRED_HOME lies in one of them.
 */
export async function startServers(
  settings: Config,
  folders: readonly string[],
  scope: Scope,
  lost: (error: Error) => void,
  terminal: Terminal,
): Promise<Config> {
  makeOutputFolder("MAITRED_HOME", settings.home);
  let { databaseUrl } = settings;
  if (!databaseUrl) {
    for (const folder of folders) requireApart(settings.home, folder);
    terminal.say(`starting Postgres in ${printable(settings.home)}\n`);
    databaseUrl = (await startPostgres(settings.home, { scope, lost })).url;
  }
  const allowed = foldersOf(settings.folders).concat(folders);
  const config = {
    ...settings,
    databaseUrl,
    queueUrl: settings.queueUrl || (settings.queueOptions ? "" : databaseUrl),
    folders: allowed.join(delimiter),
  };
  await migrateAll(config);
  if (settings.databaseUrl) await requireSameFolders(config);
  return config;
}

/** @throws {UsageError} where files of Postgres would be taken for photos. */
function requireApart(home: string, folder: string): void {
  const below = relative(realpathSync(folder), realpathSync(home));
  // what is hidden is no photo, and what lies above begins with dots too
  if (below.split(sep).some((part) => part.startsWith("."))) return;
  throw new UsageError(
    `MAITRED_HOME: ${home} lies in ${folder}, whose files are judged: set it to a folder elsewhere, or to one whose name begins with a dot`,
  );
}

/**
 * Of two workers on one queue each takes photos of the other's folders, and what it may not read fails.
 *
 * @throws {ConfigError} where one runs that may read others.
 */
async function requireSameFolders({ databaseUrl, folders }: Config): Promise<void> {
  const ours = foldersOf(folders);
  const within = (some: readonly string[], all: readonly string[]): boolean =>
    some.every((each) => all.some((root) => root === each || isInside(root, each)));
  for (const { worker, figures } of await withPostgres({ databaseUrl }, readWorkers)) {
    const theirs = (figures as { folders?: string[] } | null)?.folders;
    if (!theirs || (within(ours, theirs) && within(theirs, ours))) continue;
    throw new ConfigError(
      `the worker ${worker} takes photos from the same queue and may read ${theirs.join(", ") || "no folders"}, and this one ${ours.join(", ") || "none"}: what is not the same to both would fail. Set MAITRED_FOLDERS to all of them for both, or DATABASE_URL to another database; one that was killed counts for two minutes`,
    );
  }
}
