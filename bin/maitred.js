#!/usr/bin/env node
// Runs the compiled command line; in a clone whose install scripts did not run, compiles it first.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const main = new URL("../dist/src/cli/main.js", import.meta.url);
if (!existsSync(main)) {
  const packageFile = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = packageFile.replace(/package\.json$/, "bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}
await import(main.href);
