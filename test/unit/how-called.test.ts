import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { howCalled } from "../../src/cli/how-called.ts";
import { packageRoot } from "../../src/package-root.ts";

const bin = join(packageRoot(), "bin", "maitred.js");

test("what is printed to be run calls this program from the folder at hand, and never the registry", () => {
  expect(howCalled({}, packageRoot())).toBe("node bin/maitred.js");
  expect(howCalled({}, "/")).toBe(`node ${bin.slice(1)}`);
  expect(howCalled({}, join(packageRoot(), "docs"))).toBe(`node ${bin}`);
});

test("it is called by its name where that finds it on the PATH of others too", () => {
  const folder = mkdtempSync(join(tmpdir(), "maitred-path-"));
  const [ours, npm, other] = ["ours", "node_modules/.bin", "other"].map((name) => join(folder, name));
  for (const each of [ours!, npm!, other!]) mkdirSync(each, { recursive: true });
  for (const each of [ours!, npm!]) symlinkSync(bin, join(each, "maitred"));
  writeFileSync(join(other!, "maitred"), "#!/bin/sh\n");
  chmodSync(join(other!, "maitred"), 0o755);
  const called = (...path: string[]) => howCalled({ PATH: path.join(delimiter) }, packageRoot());
  expect(called("/nowhere", ours!)).toBe("maitred");
  expect(called(npm!)).toBe("node bin/maitred.js");
  expect(called(other!, ours!)).toBe("node bin/maitred.js");
  rmSync(folder, { recursive: true });
});
