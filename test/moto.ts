import { spawn, spawnSync } from "node:child_process";

/** A Python with moto, whose S3 server knows tags and versions, which fauxqs does not; "" where none can be had, never in CI. */
export const MOTO_PYTHON = findMoto();

/** Starts an S3 server, empty, in a process of its own. */
export async function startMoto(): Promise<{ url: string; close(): Promise<void> }> {
  const child = spawn(MOTO_PYTHON, ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], {
    env: { ...process.env, PYTHONUNBUFFERED: "1", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  let said = "";
  const url = await new Promise<string>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk;
      const [, found] = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(said) ?? [];
      if (found) resolve(found);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    void gone.then(() => reject(new Error(`moto ended: ${said}`)));
  });
  return {
    url,
    close() {
      child.kill();
      return gone;
    },
  };
}

function findMoto(): string {
  const python = process.env["MOTO_PYTHON"] ?? "python3";
  if (spawnSync(python, ["-c", "import moto.server, flask_cors, moto.s3.models"]).status === 0) return python;
  if (process.env["CI"])
    throw new Error("expected MOTO_PYTHON with moto[s3]: in CI no test of it may be skipped");
  return "";
}
