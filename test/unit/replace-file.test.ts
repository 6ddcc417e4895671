import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { replaceFile, writeNewFile } from "../../src/replace-file.ts";

test("a file that is replaced keeps its rights, and a link to it stays one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "maitred-test-"));
  const [file, link] = [join(folder, "policy.yaml"), join(folder, "link")];
  writeFileSync(file, "old");
  chmodSync(file, 0o640);
  symlinkSync(file, link);
  await replaceFile(link, "new");
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(statSync(file).mode & 0o777).toBe(0o640);
  expect(readdirSync(folder, { withFileTypes: true }).filter((each) => each.isSymbolicLink())).toHaveLength(
    1,
  );
  expect(readdirSync(folder)).toHaveLength(2);
});

test("of several who write a new file at once one does, and no part is left", async () => {
  const folder = mkdtempSync(join(tmpdir(), "maitred-test-"));
  const file = join(folder, "policy.yaml");
  const wrote = await Promise.all(["0", "1", "2", "3"].map((text) => writeNewFile(file, text)));
  expect(wrote.filter(Boolean)).toHaveLength(1);
  expect(readFileSync(file, "utf8")).toBe(String(wrote.indexOf(true)));
  expect(await writeNewFile(file, "newer")).toBe(false);
  expect(readdirSync(folder)).toEqual(["policy.yaml"]);
  await expect(writeNewFile(join(folder, "none", "a"), "")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});
