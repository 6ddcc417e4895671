import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import { findPostgresBinaries, type PostgresBinaries } from "./binaries.ts";

export interface EmbeddedPostgres extends Closable {
  url: string;
}

/**
 * Starts a Postgres of our own below `home`, on 127.0.0.1 and a free port; creates it the first time. It runs in
 * a session of its own, so that Ctrl-C reaches us first. A server that a killed owner left running is adopted.
 *
 * @throws {ConfigError} CONFIG_INVALID when another living process owns this home, or none can be started.
 */
export async function startPostgres(home: string): Promise<EmbeddedPostgres> {
  const place = placesBelow(home);
  const owner = existsSync(place.owner) ? Number(readFileSync(place.owner, "utf8")) : 0;
  if (owner !== 0 && owner !== process.pid && commandOf(owner).includes("node")) {
    throw new ConfigError(
      "CONFIG_INVALID",
      `${home} is in use by the maitred with process id ${owner}: stop it, or set MAITRED_HOME to another folder`,
    );
  }
  mkdirSync(place.root, { recursive: true });
  writeFileSync(place.owner, String(process.pid));

  if (!running(place)) await launch(place);
  const server = running(place)!;
  const close = async (): Promise<void> => {
    if (isAlive(server.pid)) process.kill(server.pid, "SIGINT");
    while (isAlive(server.pid)) await sleep(20);
    rmSync(place.owner, { force: true });
  };
  return { url: urlOf(place, server.port), close };
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
  log: string;
}

function placesBelow(home: string): Places {
  const root = join(home, "postgres");
  const file = (name: string): string => join(root, name);
  return {
    root,
    data: file("data"),
    password: file("password"),
    port: file("port"),
    owner: file("owner"),
    log: file("log"),
  };
}

async function launch(place: Places): Promise<void> {
  const binaries = findPostgresBinaries();
  if (!existsSync(join(place.data, "PG_VERSION"))) await create(place, binaries);
  rmSync(join(place.data, "postmaster.pid"), { force: true });
  const port = await freePort(place.port);
  const log = openSync(place.log, "a");
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "100",
    // a crash of the whole machine may lose the last moments, and always the acknowledgement of a job before
    // the verdict that it acknowledges, because the log of both is one
    synchronous_commit: "off",
    log_min_messages: "warning",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = start([binaries.postgres, "-D", place.data, "-p", String(port), ...flags], log);
  const gone = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`postgres ended with ${code}: ${tail(place.log)}`)));
  });
  gone.catch(() => {});
  const ready = async (): Promise<void> => {
    while (running(place)?.ready !== true) await sleep(15);
  };
  try {
    await Promise.race([ready(), gone]);
  } catch (cause) {
    throw new ConfigError("CONFIG_INVALID", `embedded Postgres did not start: ${(cause as Error).message}`, {
      cause,
    });
  }
  child.unref();
}

async function create(place: Places, binaries: PostgresBinaries): Promise<void> {
  // what an interrupted initdb left behind
  rmSync(place.data, { recursive: true, force: true });
  mkdirSync(place.data, { mode: 0o700 });
  writeFileSync(place.password, randomBytes(18).toString("base64url"), { mode: 0o600 });
  const user = unprivileged();
  if (user) {
    chownSync(place.data, user.uid, user.gid);
    chownSync(place.password, user.uid, user.gid);
  }
  const flags = ["--auth=scram-sha-256", "--username=maitred", "--encoding=UTF8", "--locale=C", "--no-sync"];
  const log = openSync(place.log, "a");
  const child = start([binaries.initdb, "-D", place.data, `--pwfile=${place.password}`, ...flags], log);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code === 0) return;
  rmSync(place.data, { recursive: true, force: true });
  throw new ConfigError("CONFIG_INVALID", `embedded Postgres could not be made: ${tail(place.log)}`);
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

/** What postmaster.pid says of a living server: its process, its port, and whether it takes connections. */
function running(place: Places): { pid: number; port: number; ready: boolean } | undefined {
  const lines = readIfThere(join(place.data, "postmaster.pid")).split("\n");
  const pid = Number(lines[0]);
  // after a crash of the machine the number may be anybody's
  if (!Number.isInteger(pid) || !commandOf(pid).includes(place.data)) return undefined;
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === "ready" };
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
  const last = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  const port = await tryPort(last).catch(() => tryPort(0));
  writeFileSync(file, String(port));
  return port;
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
