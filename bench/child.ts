import { spawn } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import type { Env } from "./setup.ts";

export interface Child {
  pid: number;
  ended(): boolean;
  /** What it printed, once it has ended; rejects unless with 0. */
  done: Promise<string>;
  /** Asks it to end, and waits for it. */
  end(): Promise<string>;
}

/** A process of maitred, as in production. */
export function startMaitred(env: Env, ...args: string[]): Child {
  return start(env, "bin/maitred.js", args);
}

/** A process of this folder. */
export function startBeside(env: Env, name: string, settings: object): Child {
  return start(env, `dist/bench/${name}.js`, [JSON.stringify(settings)]);
}

/** One that listens, once it says where. Its log is read for that alone. */
export async function startServer(env: Env, command: "api" | "worker"): Promise<Child & { url: string }> {
  let log = "";
  let found = (_url: string): void => {};
  const url = new Promise<string>((resolve) => {
    found = resolve;
  });
  const child = start(env, "bin/maitred.js", [command], (chunk) => {
    log = (log + chunk).slice(-10_000);
    const [, url] = /"url":"([^"]+)"/.exec(log) ?? [];
    if (url) found(url);
  });
  const ended = child.done.finally(() => Promise.reject(new Error(`maitred ${command} ended: ${log}`)));
  return { ...child, url: await Promise.race([url, ended]) };
}

/** @param logged takes what it logs, which else goes where this process logs. */
function start(env: Env, file: string, args: string[], logged?: (chunk: string) => void): Child {
  const child = spawn(process.execPath, [join(packageRoot(), file), ...args], {
    stdio: ["ignore", "pipe", logged ? "pipe" : "inherit"],
    // the local S3 asks for no key, and the SDK for some
    env: { ...process.env, ...env, AWS_ACCESS_KEY_ID: "bench", AWS_SECRET_ACCESS_KEY: "bench" },
  });
  // an error of this process must not leave it behind
  const kill = (): void => void child.kill();
  process.once("exit", kill);
  child.once("close", () => process.off("exit", kill));
  let out = "";
  child.stdout!.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  if (logged) child.stderr!.on("data", (chunk: Buffer) => logged(String(chunk)));
  const done = new Promise<string>((resolve, reject) => {
    child.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error(`${args[0]}: exit ${code}`))));
  });
  // whoever waits for it hears of it
  done.catch(() => {});
  return {
    pid: child.pid!,
    ended: () => child.exitCode !== null,
    done,
    end() {
      child.kill("SIGTERM");
      return done;
    },
  };
}
