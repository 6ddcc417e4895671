#!/usr/bin/env node
// Packs what an application imports, and nothing of what a worker needs: maitred-VERSION.tgz in the working directory.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { name, version, description, license, type, engines } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
const folder = mkdtempSync(join(tmpdir(), "maitred-client-"));
try {
  for (const part of ["index.js", "index.d.ts", "client"]) {
    cpSync(join(root, "dist/src", part), join(folder, part), { recursive: true });
  }
  const contents = createHash("sha256");
  // the sources that the maps speak of are not packed
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    if (file.endsWith(".map")) rmSync(join(folder, file));
    if (!/\.[jt]s$/.test(file)) continue;
    const code = readFileSync(join(folder, file), "utf8").replace(/^\/\/# sourceMappingURL=.*\n?/m, "");
    writeFileSync(join(folder, file), code);
    contents.update(code);
  }
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const exports = {
    ".": { types: "./index.d.ts", default: "./index.js" },
    "./package.json": "./package.json",
  };
  // webpack goes on with what it built of a package until its version is another
  const packed = `${version}-c${contents.digest("hex").slice(0, 12)}`;
  const manifest = {
    name,
    version: packed,
    description,
    license,
    type,
    engines,
    sideEffects: false,
    exports,
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2));
  const how = { stdio: "inherit", shell: process.platform === "win32" };
  process.exitCode = spawnSync("npm", ["pack", "--silent", folder], how).status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
