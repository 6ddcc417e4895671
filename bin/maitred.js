#!/usr/bin/env node
// Runs the compiled command line; in a clone that is not built yet, builds it first.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const main = new URL("../dist/src/cli/main.js", import.meta.url);
if (!existsSync(main)) {
  process.stderr.write("maitred: building once, which takes up to a minute ...\n");
  const how = { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" };
  const { status } = spawnSync("npm", ["run", "--silent", "build"], how);
  if (status !== 0) process.exit(status ?? 1);
}
await import(main.href);
