import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, UpstreamError } from "../errors.ts";
import type { Closable, Scope } from "../lifecycle.ts";
import { findPostgresBinaries } from "./binaries.ts";

export interface EmbeddedPostgres extends Closable {
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
 * @throws {ConfigError} CONFIG_INVALID when another living process owns this home, or none can be started.
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
      "CONFIG_INVALID",
      `${home} is in use by the maitred with process id ${owner}: stop it, or set MAITRED_HOME to another folder`,
    );
  }
  const adopted = running(place);
  if (adopted) writeFileSync(place.owner, String(process.pid));
  const child = adopted ? undefined : await launch(place);
  const pid = adopted?.pid ?? child!.pid!;

  let watch: NodeJS.Timeout | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= end());
  const end = async (): Promise<void> => {
    clearInterval(watch);
    // whoever waits for the lock has named no owner: the one that is named is another
    const waits = commandOf(pid).includes(place.lock);
    // the group, as it may be an initdb still
    if (isAlive(pid)) process.kill(-pid, "SIGINT");
    while (isAlive(pid)) await sleep(20);
    if (!waits && child?.exitCode !== LOCKED) rmSync(place.owner, { force: true });
  };
  scope?.onClose("embedded Postgres", close);
  try {
    const port = await portOf(place, pid);
    writeFileSync(place.port, String(port));
    watch = setInterval(() => {
      if (isAlive(pid)) return;
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
    throw new ConfigError("CONFIG_INVALID", why, { cause });
  }
}

/** The URL of the embedded Postgres that runs below `home`, if one does. */
export function findPostgres(home: string): string | undefined {
  const place = placesBelow(home);
  const server = running(place);
  return server && urlOf(place, server.port);
}

interface Places {
  root: string;
  data: string;
  password: string;
  port: string;
  owner: string;
  lock: string;
  log: string;
}

function placesBelow(home: string): Places {
  const named = join(home, "postgres");
  // its server is known by its path, which is one however the home was named
  const root = existsSync(named) ? realpathSync(named) : named;
  const file = (name: string): string => join(root, name);
  return {
    root,
    data: file("data"),
    password: file("password"),
    port: file("port"),
    owner: file("owner"),
    lock: file("lock"),
    log: file("log"),
  };
}

/** Begins to start the server, whose process the one given becomes. */
async function launch(place: Places): Promise<ChildProcess> {
  const { initdb, postgres } = findPostgresBinaries();
  if (readIfThere(place.password) === "")
    writeFileSync(place.password, randomBytes(18).toString("base64url"), { mode: 0o600 });
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "100",
    // a crash of the whole machine may lose the last moments, and always the acknowledgement of a job before
    // the verdict that it acknowledges, because the log of both is one
    synchronous_commit: "off",
    log_min_messages: "warning",
    port: String(await freePort(place.port)),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const script = ["sh", "-c", START, "sh", place.root, String(process.pid), initdb, postgres, ...flags];
  // the kernel keeps it for as long as a process of the server lives, and other containers see it, which see no process of
  // this one; where there is no flock, as on macOS, there are no such containers
  const lock = spawnSync("flock", ["--version"]).status === 0;
  const locked = ["flock", "--no-fork", "--timeout", "5", "--conflict-exit-code", String(LOCKED), place.lock];
  const child = start(lock ? [...locked, ...script] : script, openSync(place.log, "a"));
  if (child.pid === undefined) {
    const [cause] = (await once(child, "error")) as [Error];
    throw new ConfigError("CONFIG_INVALID", `embedded Postgres did not start: ${cause.message}`, { cause });
  }
  child.unref();
  return child;
}

/** What may be done by the holder of the lock alone. An initdb that is interrupted leaves nothing that passes for a database. */
const START = `
set -e
root=$1 owner=$2 initdb=$3 postgres=$4
shift 4
printf %s "$owner" > "$root/owner"
if [ ! -e "$root/data/PG_VERSION" ]; then
  rm -rf "$root/data" "$root/data.new"
  "$initdb" -D "$root/data.new" --pwfile="$root/password" --auth=scram-sha-256 --username=maitred --encoding=UTF8 --locale=C --no-sync
  mv "$root/data.new" "$root/data"
fi
# its process id may be anybody's by now
rm -f "$root/data/postmaster.pid"
exec "$postgres" -D "$root/data" "$@"
`;

/** Waits until it takes connections. */
async function portOf(place: Places, pid: number): Promise<number> {
  for (const until = Date.now() + START_MS; Date.now() < until; await sleep(15)) {
    const server = running(place);
    if (server?.pid === pid && server.status === "ready") return server.port;
    if (server?.pid === pid && server.status === "stopping")
      throw new Error(`it is ending: start again in a moment; if that does not help, ${place.log} says why`);
    if (!isAlive(pid)) throw new Error(`it ended: ${tail(place.log)}`);
  }
  throw new Error(`it was not ready within ${START_MS / 60_000} minutes: ${place.log} says why`);
}

/**
 * Postgres refuses to run as root, so root starts it as nobody. That user may reach the files all the same,
 * wherever root's clone lies: setpriv, which every Debian has, leaves it that one right.
 */
function start(command: string[], log: number): ChildProcess {
  const user = unprivileged();
  const asUser = user
    ? ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", "--inh-caps=+dac_override"]
        .concat("--ambient-caps=+dac_override", "--")
        .concat(command)
    : command;
  return spawn(asUser[0]!, asUser.slice(1), { stdio: ["ignore", log, log], detached: true, cwd: "/" });
}

function unprivileged(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
}

/** What postmaster.pid says of a living server: its process, its port, and whether it takes connections ("ready"). */
function running(place: Places): { pid: number; port: number; status: string } | undefined {
  const lines = readIfThere(join(place.data, "postmaster.pid")).split("\n");
  const pid = Number(lines[0]);
  // after a crash of the machine the number may be anybody's
  if (!Number.isInteger(pid) || !commandOf(pid).includes(place.data)) return undefined;
  return { pid, port: Number(lines[3]), status: lines[7]?.trim() ?? "" };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The command line of a living process; "" for none, and for 0, which is what a file just being written says. */
function commandOf(pid: number): string {
  if (!(pid > 0) || !isAlive(pid)) return "";
  if (!existsSync("/proc/self/cmdline")) {
    return spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout;
  }
  return readIfThere(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

/** A file that another process may remove at any moment; "" when it has. */
function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (/^(ENOENT|ESRCH)$/.test(String((error as NodeJS.ErrnoException).code))) return "";
    throw error;
  }
}

function urlOf(place: Places, port: number): string {
  return `postgres://maitred:${readFileSync(place.password, "utf8")}@127.0.0.1:${port}/postgres`;
}

function tail(file: string): string {
  return readFileSync(file, "utf8").trim().split("\n").slice(-3).join(" | ");
}

/** The port that it had last time, so that its URL stays, or any other that is free. */
async function freePort(file: string): Promise<number> {
  return tryPort(Number(readIfThere(file))).catch(() => tryPort(0));
}

function tryPort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Longer than it takes to recover after a crash. */
const START_MS = 300_000;
/** In which another may make what we wait for; nobody is told that we do. */
const MAKING_MS = 60_000;
const LOOK_MS = 1_000;
/** What flock ends with where somebody else holds the lock. */
const LOCKED = 75;
