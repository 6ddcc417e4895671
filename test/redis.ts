import { type ChildProcess, spawn } from "node:child_process";

/** A Redis that may hold a queue and keeps nothing, once it can be asked; flags may say otherwise. */
export async function startRedis(...flags: string[]): Promise<ChildProcess> {
  const command = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", ...flags];
  const child = spawn("redis-server", command, { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => /ready to accept/i.test(chunk.toString()) && resolve());
  });
  return child;
}
