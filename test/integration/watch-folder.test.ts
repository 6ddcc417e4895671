import fs, {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { watchFolder } from "../../src/cli/watch-folder.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { BACKENDS, rows, test } from "../fixtures.ts";
import { judged } from "../verdicts.ts";

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
    await watchFolder(
      folder,
      { intake, log: createLog("silent"), withdrew: () => {}, decided: () => {} },
      scope,
    );
    await expect.poll(keys, { timeout: 10_000 }).toEqual(["late.jpg"]);
    mkdirSync(join(folder, "43"));
    await expect.poll(keys, { timeout: 10_000 }).toEqual(["43/late.jpg", "late.jpg"]);
  } finally {
    await scope.close();
    fs.watch = watch;
    syncBuiltinESMExports();
  }
});

test("what was decided is looked at where a file of the same size and time took its place, also while nothing ran", async ({
  configFor,
  db,
  folder,
}) => {
  const [file, other] = [join(folder, "a.jpg"), join(folder, ".other")];
  writeFileSync(file, "one");
  utimesSync(file, 1_700_000_000, 1_700_000_000);
  const queued: string[] = [];
  const watched = async (): Promise<Scope> => {
    const scope = new Scope();
    const intake = openIntake(configFor(BACKENDS[0]!), scope, () => {});
    const { add } = intake.queues;
    intake.queues.add = async (lane, photos) => {
      queued.push(...photos.map(({ key }) => key));
      return add(lane, photos);
    };
    await watchFolder(
      folder,
      { intake, log: createLog("silent"), withdrew: () => {}, decided: () => {} },
      scope,
    );
    return scope;
  };
  const replace = (text: string): void => {
    writeFileSync(other, text);
    // a file that was read later than it was written chokidar tells nothing of
    utimesSync(other, new Date(), 1_700_000_000);
    renameSync(other, file);
  };
  let scope = await watched();
  try {
    await expect.poll(() => queued, { timeout: 10_000 }).toEqual(["a.jpg"]);
    const [{ id, version }] = await rows(db, "select id, version from photos");
    await recordOutcomes(db.pool, [judged(id, "shown")]);
    replace("two");
    await expect.poll(() => queued, { timeout: 10_000 }).toEqual(["a.jpg", "a.jpg"]);
    await scope.close();
    await recordOutcomes(db.pool, [judged(id, "hidden", "model:m-1b")]);
    replace("six");
    scope = await watched();
    await expect.poll(() => queued, { timeout: 10_000 }).toHaveLength(3);
    expect(await rows(db, "select id, version from photos")).toEqual([{ id, version }]);
    await recordOutcomes(db.pool, [judged(id, "shown", "model:m-2")]);
    await scope.close();
    // says no other size or time, and so that the same is judged once more
    chmodSync(file, 0o600);
    scope = await watched();
    expect(queued).toHaveLength(4);
    await recordOutcomes(db.pool, [judged(id, "shown", "model:m-2")]);
    await scope.close();
    scope = await watched();
    expect(queued).toHaveLength(4);
  } finally {
    await scope.close();
  }
});
