/** `npm run demo`: the sample photos through the whole product, with everything embedded, from nothing. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import { whyNot } from "../src/replace-file.ts";
import { collectSamples } from "./collect.ts";

const parent = join(packageRoot(), ".maitred");
let home = "";
let photos = "";
try {
  mkdirSync(parent, { recursive: true });
  home = mkdtempSync(join(parent, "demo-"));
  photos = join(home, "photos");
  await collectSamples(photos);
} catch (error) {
  if (home) rmSync(home, { recursive: true, force: true });
  process.stderr.write(
    `maitred demo: ${parent}: expected a folder that can be written to: ${whyNot(error)}\n`,
  );
  process.exit(2);
}
process.stderr.write("maitred up --once on the sample photos, everything embedded\n\n");
const command = [join(packageRoot(), "bin/maitred.js"), "up", "--once", photos];
// whatever else the shell is set up for must not be touched
const others = Object.entries(process.env).filter(
  ([name]) => name !== "DATABASE_URL" && !name.startsWith("MAITRED_"),
);
const env = { ...Object.fromEntries(others), MAITRED_HOME: home, MAITRED_PORT: "0" };
const child = spawn(process.execPath, command, { stdio: "inherit", env });
// the terminal sends Ctrl-C to both; this one waits for the other to drain
process.on("SIGINT", () => {});
child.on("exit", (code) => {
  rmSync(home, { recursive: true, force: true });
  process.exitCode = code ?? 1;
});
