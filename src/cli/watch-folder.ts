import { lstatSync, type Stats } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { watch } from "chokidar";
import { asError, codeOf } from "../errors.ts";
import { folderPhoto, goneKeys } from "../image/folder.ts";
import type { IngestResult } from "../intake/ingest-photos.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { currentKeys } from "../store/photos.ts";
import type { Intake } from "./intake.ts";

interface WatchDeps {
  intake: Intake;
  log: Logger;
  /** Is told which photos of a folder were taken off the page. */
  withdrew(folder: string, keys: readonly string[]): void;
  /** Is told which photos are decided already. */
  decided(ids: readonly string[]): void;
}

/**
 * Withdraws the photos of a folder whose files are not there any more. Of a folder that is away, or empty, none: that is
 * logged with what to do.
 */
export async function withdrawGone(folder: string, { intake, log, withdrew }: WatchDeps): Promise<void> {
  try {
    for (let after: string | undefined = ""; after !== undefined; ) {
      const keys: string[] = await currentKeys(intake.db, folder, { after, limit: PAGE });
      withdrew(folder, await intake.withdraw(folder, await goneKeys(folder, keys)));
      after = keys.length < PAGE ? undefined : keys.at(-1);
    }
  } catch (thrown) {
    if (codeOf(asError(thrown)) !== "STORE_UNAVAILABLE") throw thrown;
    log.error({ err: thrown, folder }, "nothing was withdrawn");
  }
}

/**
 * Takes in what is dropped into a folder, and withdraws what is deleted from it, until `scope` is closed. A file counts
 * once it has stopped growing; one that is renamed is one that went and one that came.
 *
 * @returns once all that lay there is taken in.
 */
export function watchFolder(folder: string, deps: WatchDeps, scope: Scope): Promise<void> {
  const { intake, log, withdrew } = deps;
  const touched = new Set<string>();
  // while it is watched: looked at whatever was decided, as other bytes may have the size and the time of those before
  const changed = new Set<string>();
  const stirred = new Map<string, NodeJS.Timeout>();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let listed = false;
  let tell: () => void = () => {};
  // chokidar lists a folder before it watches it, and tells of nothing that comes in between
  const listedOnce = new Set<string>();
  let looking: NodeJS.Timeout | undefined;

  // what a file is now counts, and not what was told of it: one that went may have come back
  async function settle(paths: readonly string[]): Promise<void> {
    const anew = new Set(paths.filter((path) => changed.delete(path)));
    const found = await Promise.allSettled(paths.map((path) => folderPhoto(folder, path)));
    for (const again of [false, true]) {
      const photos = found.flatMap((each, index) =>
        each.status === "fulfilled" && anew.has(paths[index]!) === again ? [each.value] : [],
      );
      if (photos.length === 0) continue;
      deps.decided(decidedOf(await intake.take(photos, "live", { again })));
    }
    const missing = paths.filter((_, index) => found[index]!.status === "rejected");
    const keys = missing.map((path) => relative(folder, path).split(sep).join("/"));
    withdrew(folder, await intake.withdraw(folder, await goneKeys(folder, keys)));
  }

  // one after the other, or a file that went could be taken in after it was withdrawn
  async function work(): Promise<void> {
    const paths = takeSome(touched, PAGE);
    let waitMs = GATHER_MS;
    try {
      await settle(paths);
    } catch (err) {
      if (codeOf(asError(err)) === "STORE_UNAVAILABLE") log.error({ err, folder }, "nothing was withdrawn");
      else {
        log.error({ err, folder }, "could not be taken in, and will be tried again");
        for (const path of paths) {
          touched.add(path);
          changed.add(path);
        }
        waitMs = AGAIN_MS;
      }
    }
    timer = undefined;
    if (touched.size > 0 && !scope.closing) begin(waitMs);
    else if (listed) tell();
  }

  function begin(waitMs: number): void {
    timer ??= setTimeout(() => {
      working = work();
    }, waitMs);
  }

  const touch = (path: string): void => {
    clearTimeout(stirred.get(path));
    stirred.delete(path);
    if (listed) changed.add(path);
    touched.add(path);
    if (!scope.closing) begin(GATHER_MS);
  };
  scope.onClose(`intake of ${folder}`, () => {
    clearTimeout(timer);
    clearTimeout(looking);
    for (const waiting of stirred.values()) clearTimeout(waiting);
    return working;
  });
  const isHidden = (path: string): boolean =>
    path
      .slice(folder.length)
      .split(/[\\/]/)
      .some((part) => part.startsWith("."));
  const watcher = scope.hold(
    `watcher of ${folder}`,
    watch(folder, {
      ignored: (path, stats) => isHidden(path) || (path !== folder && isLinkedFolder(path, stats)),
      awaitWriteFinish: { stabilityThreshold: 300, pollInterval: 100 },
    }),
  );
  watcher.on("add", touch).on("change", touch).on("unlink", touch);
  // chokidar tells of no file that has another's time; of what it tells itself within that time nothing is to be done
  watcher.on("raw", (_event, name, details) => {
    // where it polls, the name is the path
    const path = (details as { watchedPath?: string }).watchedPath ?? name;
    if (path === folder || !listed) return;
    clearTimeout(stirred.get(path));
    stirred.set(
      path,
      setTimeout(() => touch(path), STILL_MS),
    );
  });
  watcher.on("error", (err) => log.error({ err, folder }, "watching failed"));

  async function lookAgain(): Promise<void> {
    looking = undefined;
    const folders = takeSome(listedOnce, listedOnce.size);
    const watched = watcher.getWatched();
    for (const each of folders) {
      const known = new Set(watched[each]);
      const names = await readdir(each).catch((): string[] => []);
      const missed = names.filter((name) => !known.has(name) && !name.startsWith("."));
      // it would open a watcher that is closed
      if (missed.length > 0 && !scope.closing) watcher.add(missed.map((name) => join(each, name)));
    }
  }
  watcher.on("addDir", (path) => {
    listedOnce.add(path);
    if (listed) looking ??= setTimeout(lookAgain, AGAIN_MS);
  });
  return new Promise((resolve) => {
    tell = resolve;
    watcher.once("ready", async () => {
      await lookAgain();
      listed = true;
      if (timer === undefined) tell();
    });
  });
}

/** What neither has to be judged nor is unclear. */
export function decidedOf({ ids, queued, unclear }: IngestResult): string[] {
  const others = new Set([...queued, ...unclear]);
  return ids.filter((id) => !others.has(id));
}

/** Of what a listing named, and may be gone since. As there, links are followed to files but not to folders. */
export function isLinkedFolder(path: string, stats?: Stats): boolean {
  return (
    stats?.isDirectory() === true && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
  );
}

/**
 * Takes the oldest out of a set, at most so many. What happened to all of a large folder in one statement would take longer
 * than a statement may, again and again.
 */
export function takeSome<T>(from: Set<T>, most: number): T[] {
  const some: T[] = [];
  for (const each of from) {
    if (some.length === most) break;
    some.push(each);
    from.delete(each);
  }
  return some;
}

/** Files or photos that are looked at together. */
const PAGE = 1_000;
const GATHER_MS = 50;
const AGAIN_MS = 2_000;
/** Longer than chokidar waits for a file to stop growing. */
const STILL_MS = 1_000;
