#!/usr/bin/env node
// Packs what an application imports, and nothing of what a worker needs: maitred-VERSION.tgz in the working directory.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { name, version, description, license, type } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
const folder = mkdtempSync(join(tmpdir(), "maitred-client-"));
try {
  for (const part of ["index.js", "index.d.ts", "client"]) {
    cpSync(join(root, "dist/src", part), join(folder, part), { recursive: true });
  }
  // the sources that the maps speak of are not packed
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (file.endsWith(".map")) rmSync(join(folder, file));
    if (!file.endsWith(".js")) continue;
    const code = readFileSync(join(folder, file), "utf8");
    writeFileSync(join(folder, file), code.replace(/^\/\/# sourceMappingURL=.*\n?/m, ""));
  }
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const exports = {
    ".": { types: "./index.d.ts", default: "./index.js" },
    "./package.json": "./package.json",
  };
  const manifest = { name, version, description, license, type, sideEffects: false, exports };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2));
  const how = { stdio: "inherit", shell: process.platform === "win32" };
  process.exitCode = spawnSync("npm", ["pack", "--silent", folder], how).status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
