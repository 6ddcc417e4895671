import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The folder of this package, from its sources as from its build: where migrations, models and policy lie. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** A thread's entry point: threads run what is compiled, whether whoever starts them is or not. */
export function threadEntry(name: "infer" | "heic"): URL {
  return pathToFileURL(join(packageRoot(), "dist", "workers", `${name}.js`));
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string })
    .version;
}
