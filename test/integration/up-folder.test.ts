import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { describe, expect, inject } from "vitest";
import { isAlive } from "../../src/processes.ts";
import { test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";

const samples = inject("samples");

describe("up", () => {
  const home = (): string => mkdtempSync(join(tmpdir(), "maitred-home-"));

  test("--once judges a folder with everything embedded, prints a table, and exits 0", async () => {
    const MAITRED_HOME = home();
    const first = maitred(["up", "--once", samples], { MAITRED_HOME });
    expect(await first.exit).toBe(0);
    const table = first.stdout().trim().split("\n");
    expect(table[0]).toMatch(/^photo +category +score +human +verdict +reason$/);
    expect(table).toHaveLength(readdirSync(samples).length + 1);
    expect(first.stdout()).toMatch(/landing-portrait-1.jpg +\w+ +[01]\.\d\d +\d\.\d\d +hidden/);
    expect(first.stderr()).toMatch(
      /22 judged, 0 failed, 0 decided before, [\d.]+ photos\/s in \d+ batch(es)? of [\d.]+ with/,
    );

    const again = maitred(["up", "--once", "--json", samples], { MAITRED_HOME });
    expect(await again.exit).toBe(0);
    expect(again.stderr()).toContain("0 judged, 0 failed, 22 decided before, with");
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("stays, judges what is dropped in, lets other commands see its state, and drains on SIGINT", async ({
    folder,
  }) => {
    const MAITRED_HOME = join(home(), "Ann's");
    const up = maitred(["up", folder], { MAITRED_HOME });
    await up.says("has queries");
    const beside = up.stderr().match(/MAITRED_HOME='.*'(?= node bin\/maitred.js token create)/)?.[0];
    expect(execFileSync("sh", ["-c", `${beside}; printf %s "$MAITRED_HOME"`]).toString()).toBe(MAITRED_HOME);
    expect(up.stderr()).toContain(`psql "$(${beside} node bin/maitred.js config --database-url)"`);
    copyFileSync(join(samples, "landing-portrait-1.jpg"), join(folder, "portrait.jpg"));
    await up.says(`hidden  ${folder}/portrait.jpg`);
    writeFileSync(join(folder, "broken.jpg"), "words");
    await up.says(`failed  ${folder}/broken.jpg  UNSUPPORTED_FORMAT`);

    const replay = await ended(["enqueue", "--failed", "--json"], { MAITRED_HOME });
    expect(replay.code).toBe(0);
    expect(JSON.parse(replay.out)).toEqual({ queued: 1, decided: 0, unclear: 0 });
    const known = await ended(["enqueue", "--json", folder], { MAITRED_HOME });
    expect(known.code).toBe(0);
    expect(JSON.parse(known.out)).toEqual({ queued: 1, decided: 1, unclear: 0 });
    const doctor = await ended(["doctor", "--json"], { MAITRED_HOME });
    expect(doctor.code).toBe(0);
    const findings = JSON.parse(doctor.out) as { check: string; ok: boolean }[];
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(findings.map(({ check }) => check)).toContain("workers");
    const address = await ended(["config", "--database-url"], { MAITRED_HOME });
    expect(address.code).toBe(0);
    const client = new pg.Client(address.out.trim());
    await client.connect();
    const { rows } = await client.query(
      "select verdict, sum(photos)::int as photos from daily_counts group by 1 order by 1",
    );
    await client.end();
    expect(rows).toEqual([
      { verdict: "failed", photos: 1 },
      { verdict: "hidden", photos: 1 },
    ]);
    const rival = maitred(["up", folder], { MAITRED_HOME });
    expect(await rival.exit).toBe(2);
    expect(rival.stderr()).toContain("is in use");

    up.child.kill("SIGINT");
    expect(await up.exit).toBe(0);
    rmSync(dirname(MAITRED_HOME), { recursive: true });
  });

  test("withdraws photos whose files were deleted or renamed, also while nothing ran, and judges a new name", async ({
    folder,
    db,
  }) => {
    const MAITRED_HOME = home();
    const env = {
      MAITRED_HOME,
      DATABASE_URL: db.url,
      MAITRED_API_PORT: "0",
      MAITRED_MODEL: inject("idleModel"),
    };
    const photos = async () => {
      const { rows } = await db.pool.query(
        "select key || case when superseded_at is null then '' else ' gone' end as photo from photos order by key",
      );
      return rows.map(({ photo }) => photo);
    };
    mkdirSync(join(folder, "42"));
    for (const name of ["a", "b", "42/c"]) {
      copyFileSync(join(samples, "business-product-1.jpg"), join(folder, `${name}.jpg`));
    }
    const first = maitred(["up", folder], env);
    await first.says("watches");
    for (const name of ["a", "b", "42/c"]) await first.says(`  ${folder}/${name}.jpg`);
    await first.says("3 judged, 0 failed, 0 decided before; watching");
    rmSync(join(folder, "a.jpg"));
    await first.says(`withdrawn  ${folder}/a.jpg`);
    renameSync(join(folder, "42"), join(folder, "43"));
    await first.says(`withdrawn  ${folder}/42/c.jpg`);
    await first.says(`  ${folder}/43/c.jpg`);
    expect(await photos()).toEqual(["42/c.jpg gone", "43/c.jpg", "a.jpg gone", "b.jpg"]);
    copyFileSync(join(samples, "business-product-1.jpg"), join(folder, "a.jpg"));
    await expect.poll(photos, { timeout: 10_000 }).toContain("a.jpg");
    first.child.kill("SIGINT");
    expect(await first.exit).toBe(0);

    rmSync(join(folder, "b.jpg"));
    const second = maitred(["up", "--once", folder], env);
    expect(await second.exit).toBe(0);
    expect(second.stderr()).toContain(`withdrawn  ${folder}/b.jpg`);
    expect(await photos()).toContain("b.jpg gone");
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("withdraws nothing of a folder that is empty, as one is that is not mounted, and says what to do", async ({
    folder,
    db,
  }) => {
    const MAITRED_HOME = home();
    const env = {
      MAITRED_HOME,
      DATABASE_URL: db.url,
      MAITRED_API_PORT: "0",
      MAITRED_MODEL: inject("idleModel"),
    };
    copyFileSync(join(samples, "business-product-1.jpg"), join(folder, "a.jpg"));
    const up = maitred(["up", folder], env);
    await up.says(`  ${folder}/a.jpg`);
    rmSync(join(folder, "a.jpg"));
    await up.says("put any file there, such as .keep");
    up.child.kill("SIGINT");
    expect(await up.exit).toBe(0);
    const again = maitred(["up", "--once", folder], env);
    expect([await again.exit, again.stdout()]).toEqual([0, ""]);
    expect(again.stderr()).toContain(`no photos in ${folder}\n`);
    expect(again.stderr()).toContain("is empty or away");
    const current = "select key from photos where superseded_at is null";
    expect((await db.pool.query(current)).rows).toEqual([{ key: "a.jpg" }]);
    writeFileSync(join(folder, ".keep"), "");
    expect(await maitred(["up", "--once", folder], env).exit).toBe(0);
    expect((await db.pool.query(current)).rows).toEqual([]);
    rmSync(MAITRED_HOME, { recursive: true });
  });

  test("takes over the server that a killed one left running, however its home is named", async ({
    folder,
  }) => {
    const MAITRED_HOME = home();
    const first = maitred(["up", folder], { MAITRED_HOME, MAITRED_MODEL: inject("idleModel") });
    await first.says("watches");
    const [server] = readFileSync(join(MAITRED_HOME, "postgres/data/postmaster.pid"), "utf8").split("\n");
    first.child.kill("SIGKILL");
    await first.exit;
    copyFileSync(join(samples, "menu-1.jpg"), join(folder, "menu.jpg"));
    const link = `${MAITRED_HOME}-link`;
    symlinkSync(MAITRED_HOME, link);
    const second = maitred(["up", "--once", folder], { MAITRED_HOME: link });
    expect(await second.exit).toBe(0);
    expect(second.stdout()).toMatch(/menu.jpg +menu/);
    expect(isAlive(Number(server))).toBe(false);
    rmSync(link);
    rmSync(MAITRED_HOME, { recursive: true });
  });
});
