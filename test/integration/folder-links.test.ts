import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { createFolderFetch } from "../../src/image/folder.ts";
import { test } from "../fixtures.ts";

test("nothing outside of a folder is read, however fast somebody puts links into it", async ({ folder }) => {
  const [inside, outside] = [join(folder, "inside"), join(folder, "outside")];
  for (const [each, text] of [
    [inside, "inside"],
    [outside, "outside"],
  ] as const) {
    mkdirSync(each);
    writeFileSync(join(each, "a.jpg"), text);
  }
  const swapping =
    "while :; do cp a.jpg .file; mv -f .file b.jpg; ln -sf ../outside/a.jpg .link; mv -f .link b.jpg; done";
  const swaps = spawn("sh", ["-c", swapping], { cwd: inside });
  const fetch = createFolderFetch([inside]);
  const read = new Set<string>();
  try {
    for (const until = Date.now() + 3_000; Date.now() < until; ) {
      const photo = { store: "folder", bucket: inside, key: "b.jpg", version: "" } as const;
      const bytes = await fetch(photo, { maxBytes: 100, timeoutMs: 1_000 }).then(
        (fetched) => Buffer.from(fetched.bytes).toString(),
        () => undefined,
      );
      if (bytes) read.add(bytes);
    }
  } finally {
    swaps.kill("SIGKILL");
  }
  expect([...read]).toEqual(["inside"]);
});
