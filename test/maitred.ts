import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { run } from "../src/cli/run.ts";
import { openTerminal } from "../src/cli/terminal.ts";
import { packageRoot } from "../src/package-root.ts";

export interface Running {
  child: ChildProcess;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  /** Waits until stderr holds the text. */
  says(text: string): Promise<void>;
  /** Its exit code, or the signal that ended it. */
  exit: Promise<number | string>;
}

export interface Ended {
  code: number;
  out: string;
  err: string;
}

/**
 * Runs the command to its end, with nothing of the tests' own settings. It does so within the process of the test: what is
 * about signals, pipes and ends is tested by `maitred`, which costs half a second of a core each time.
 */
export async function ended(
  args: readonly string[],
  env: Record<string, string> = {},
  stdin: string | Buffer = "",
): Promise<Ended> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const [out, err] = [text(stdout), text(stderr)];
  const terminal = openTerminal({ env: settings(env), stdout, stderr, stdin: Readable.from([stdin]) });
  const code = await run(args, terminal);
  stdout.end();
  stderr.end();
  return { code, out: await out, err: await err };
}

/**
 * Runs the real command in a process of its own, with nothing of the tests' own settings.
 *
 * @param through a command that becomes it, such as one that makes it another user's.
 */
export function maitred(
  args: readonly string[],
  env: Record<string, string> = {},
  through: readonly string[] = [],
): Running {
  const whole = [...through, process.execPath, join(packageRoot(), "bin/maitred.js"), ...args];
  const child = spawn(whole[0]!, whole.slice(1), { env: settings(env) });
  child.stdin.end();
  let [stdout, stderr] = ["", ""];
  let waiting: { text: string; resolve(): void }[] = [];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
    waiting = waiting.filter(({ text, resolve }) => !stderr.includes(text) || resolve());
  });
  const exit = new Promise<number | string>((resolve) =>
    child.on("close", (code, signal) => resolve(code ?? signal!)),
  );
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    says(text) {
      if (stderr.includes(text)) return Promise.resolve();
      const gone = exit.then((code) => {
        throw new Error(`ended with ${code} before it said ${text}: ${stderr}`);
      });
      return Promise.race([new Promise<void>((resolve) => waiting.push({ text, resolve })), gone]);
    },
    exit,
  };
}

function settings(env: Record<string, string>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("MAITRED_") && name !== "DATABASE_URL",
  );
  return { ...Object.fromEntries(inherited), MAITRED_PORT: "0", ...env };
}
