import { spawn, spawnSync } from "node:child_process";
import type { Scope } from "../src/lifecycle.ts";

/** A Redis of our own until `scope` closes, or "" where there is no server to start. */
export async function startRedis(scope: Scope, flags: readonly string[] = ["--save", ""]): Promise<string> {
  if (spawnSync("redis-server", ["--version"]).status !== 0) return "";
  const port = 20_000 + (process.pid % 20_000);
  const child = spawn("redis-server", ["--port", String(port), "--maxmemory-policy", "noeviction", ...flags]);
  scope.onClose("Redis", () => child.kill());
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (/Ready to accept/.test(chunk.toString())) resolve();
    });
  });
  return `redis://127.0.0.1:${port}`;
}
