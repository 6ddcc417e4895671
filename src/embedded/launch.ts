import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, fchmodSync, openSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { readIfThere } from "../processes.ts";
import { findPostgresBinaries } from "./binaries.ts";

export interface Places {
  root: string;
  data: string;
  password: string;
  port: string;
  owner: string;
  lock: string;
  log: string;
}

export function placesBelow(home: string): Places {
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
export async function launch(place: Places): Promise<ChildProcess> {
  const { initdb, postgres } = findPostgresBinaries();
  if (/[\r\n]/.test(place.root))
    throw new ConfigError(
      `${place.root}: Postgres takes no path with an end of a line in it: set MAITRED_HOME to another folder`,
    );
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
  const log = openSync(place.log, "a", 0o600);
  // also one that was made before: it quotes statements, and these name photos that nobody is to see
  fchmodSync(log, 0o600);
  const child = start(lock ? [...locked, ...script] : script, log);
  if (child.pid === undefined) {
    const [cause] = (await once(child, "error")) as [Error];
    throw new ConfigError(`embedded Postgres did not start: ${cause.message}`, { cause });
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

/** What flock ends with where somebody else holds the lock. */
export const LOCKED = 75;
