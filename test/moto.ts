import { type ChildProcess, spawn, spawnSync } from "node:child_process";

/** moto's S3 server, which keeps versions, unlike fauxqs: `moto[server]` of PyPI. In CI no test of it may be skipped. */
const command = process.env["MOTO_SERVER"] ?? "moto_server";
export const HAS_MOTO = spawnSync("sh", ["-c", 'command -v "$0"', command]).status === 0;
if (!HAS_MOTO && process.env["CI"])
  throw new Error(
    "expected moto_server on the PATH, or MOTO_SERVER to name it: in CI no test of it may be skipped",
  );

export async function startMoto(): Promise<{ url: string; stop(): Promise<void> }> {
  const child: ChildProcess = spawn(command, ["--host", "127.0.0.1", "--port", "0"], {
    stdio: ["ignore", "pipe", "pipe"],
    // its output waits in a buffer otherwise
    env: { ...process.env, PYTHONUNBUFFERED: "1" },
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    const hear = (chunk: Buffer): void => {
      said += chunk;
      const found = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(said);
      if (found) resolve(found[1]!);
    };
    child.stdout!.on("data", hear);
    child.stderr!.on("data", hear);
    child.once("error", reject);
    void ended.then(() => reject(new Error(`moto_server ended: ${said}`)));
  });
  return {
    url,
    stop() {
      child.kill();
      return ended;
    },
  };
}
