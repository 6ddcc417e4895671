import fs, { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { watchFolder } from "../../src/cli/watch-folder.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { BACKENDS, test } from "../fixtures.ts";

test("what comes after a folder is listed and before it is watched is taken in, also of one that is dropped in", async ({
  configFor,
  db,
  folder,
}) => {
  const { watch } = fs;
  fs.watch = ((path: string, ...rest: []) => {
    const late = join(path, "late.jpg");
    if (statSync(path).isDirectory() && !existsSync(late))
      copyFileSync(join(inject("samples"), "menu-1.jpg"), late);
    return watch(path, ...rest);
  }) as typeof watch;
  syncBuiltinESMExports();
  const scope = new Scope();
  const keys = async () =>
    (await db.pool.query("select key from photos order by key")).rows.map(({ key }) => key);
  try {
    const intake = openIntake(configFor(BACKENDS[0]!), scope, () => {});
    await watchFolder(folder, { intake, log: createLog("silent"), withdrew: () => {} }, scope);
    await expect.poll(keys, { timeout: 10_000 }).toEqual(["late.jpg"]);
    mkdirSync(join(folder, "43"));
    await expect.poll(keys, { timeout: 10_000 }).toEqual(["43/late.jpg", "late.jpg"]);
  } finally {
    await scope.close();
    fs.watch = watch;
    syncBuiltinESMExports();
  }
});
