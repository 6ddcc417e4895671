import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isAlive } from "../../src/processes.ts";

test("a process that has ended is not alive, though its parent never asks what became of it", async () => {
  const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const [line] = await once(parent.stdout, "data");
    await expect.poll(() => isAlive(Number(line))).toBe(false);
    expect(isAlive(parent.pid!)).toBe(true);
  } finally {
    parent.kill();
  }
});
