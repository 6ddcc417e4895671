import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, UpstreamError } from "../errors.ts";
import type { Closable, Scope } from "../lifecycle.ts";
import { commandOf, isAlive, readIfThere } from "../processes.ts";
import { LOCKED, launch, type Places, placesBelow } from "./launch.ts";

interface EmbeddedPostgres extends Closable {
  url: string;
}

interface Owner {
  /** Ends the server too, from the moment on that it begins to start. */
  scope?: Scope | undefined;
  /** Is told when the server has ended although nobody closed it. */
  lost?(error: Error): void;
}

/**
 * Starts a Postgres of our own below `home`, on 127.0.0.1 and a free port; creates it the first time. It runs in
 * a session of its own, so that Ctrl-C reaches us first. A server that a killed owner left running is adopted.
 *
 * @throws {ConfigError} when another living process owns this home, or none can be started.
 */
export async function startPostgres(
  home: string,
  { scope, lost = () => {} }: Owner = {},
  until = Date.now() + MAKING_MS,
): Promise<EmbeddedPostgres> {
  mkdirSync(join(home, "postgres"), { recursive: true });
  const place = placesBelow(home);
  const owner = Number(readIfThere(place.owner));
  if (owner !== process.pid && commandOf(owner).includes("node")) {
    throw new ConfigError(
      `${home} is in use by the maitred with process id ${owner}: stop it, or set MAITRED_HOME to another folder`,
    );
  }
  const adopted = running(place);
  if (adopted) writeFileSync(place.owner, String(process.pid));
  const child = adopted ? undefined : await launch(place);
  const pid = adopted?.pid ?? child!.pid!;
  // a child has ended once it is known how
  const lives = (): boolean => (child ? child.exitCode === null && child.signalCode === null : isAlive(pid));

  let watch: NodeJS.Timeout | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= end());
  const end = async (): Promise<void> => {
    clearInterval(watch);
    // whoever waits for the lock has named no owner: the one that is named is another
    const waits = commandOf(pid).includes(place.lock);
    // the group, as it may be an initdb still
    if (lives()) process.kill(-pid, "SIGINT");
    while (lives()) await sleep(20);
    if (!waits && child?.exitCode !== LOCKED) rmSync(place.owner, { force: true });
  };
  scope?.onClose("embedded Postgres", close);
  try {
    const port = await portOf(place, pid, lives);
    writeFileSync(place.port, String(port));
    watch = setInterval(() => {
      if (lives()) return;
      clearInterval(watch);
      lost(new UpstreamError("DATABASE_UNAVAILABLE", `the end of ${place.log} says why`));
    }, LOOK_MS).unref();
    return { url: urlOf(place, port), close };
  } catch (cause) {
    await close();
    // a killed owner leaves one that is begun, and is there by now, or is still being made
    if (child?.exitCode === LOCKED && Date.now() < until && (running(place) || !existsSync(place.data)))
      return startPostgres(home, { scope, lost }, until);
    const why =
      child?.exitCode === LOCKED
        ? `${home} is in use by a Postgres that cannot be seen from here, as that of another container: stop it, or set MAITRED_HOME to another folder`
        : `embedded Postgres did not start: ${(cause as Error).message}`;
    throw new ConfigError(why, { cause });
  }
}

/** The URL of the embedded Postgres that runs below `home`, if one does. */
export function findPostgres(home: string): string | undefined {
  const place = placesBelow(home);
  const server = running(place);
  return server && urlOf(place, server.port);
}

/** Waits until it takes connections. */
async function portOf(place: Places, pid: number, lives: () => boolean): Promise<number> {
  for (const until = Date.now() + START_MS; Date.now() < until; await sleep(15)) {
    const server = running(place);
    if (server?.pid === pid && server.status === "ready") return server.port;
    if (server?.pid === pid && server.status === "stopping")
      throw new Error(`it is ending: start again in a moment; if that does not help, ${place.log} says why`);
    if (!lives()) throw new Error(`it ended: ${isFull(place.root) ? FULL : tail(place.log)}`);
  }
  throw new Error(`it was not ready within ${START_MS / 60_000} minutes: ${place.log} says why`);
}

/** What postmaster.pid says of a living server: its process, its port, and whether it takes connections ("ready"). */
function running(place: Places): { pid: number; port: number; status: string } | undefined {
  const lines = readIfThere(join(place.data, "postmaster.pid")).split("\n");
  const pid = Number(lines[0]);
  // after a crash of the machine the number may be anybody's
  if (!Number.isInteger(pid) || !commandOf(pid).includes(place.data)) return undefined;
  return { pid, port: Number(lines[3]), status: lines[7]?.trim() ?? "" };
}

function urlOf(place: Places, port: number): string {
  return `postgres://maitred:${readFileSync(place.password, "utf8")}@127.0.0.1:${port}/postgres`;
}

function tail(file: string): string {
  return readFileSync(file, "utf8").trim().split("\n").slice(-3).join(" | ");
}

/** Then its log lacks why it ended. */
function isFull(folder: string): boolean {
  return statfsSync(folder).bavail === 0;
}

const FULL = "its disk is full: make room, or set MAITRED_HOME to another folder";
/** Longer than it takes to recover after a crash. */
const START_MS = 300_000;
/** In which another may make what we wait for; nobody is told that we do. */
const MAKING_MS = 60_000;
const LOOK_MS = 1_000;
