import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { type Model, openModel } from "./model.ts";

/**
 * The model folders below some directories, by id; where two directories have one, the first one's counts.
 *
 * @throws {ConfigError} where one of them is a file.
 */
export function listModels(directories: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const directory of directories.filter((each) => existsSync(each))) {
    if (!statSync(directory).isDirectory()) {
      throw new ConfigError(
        `expected the folder that model folders lie in, got the file ${directory}: mend MAITRED_MODELS`,
      );
    }
    for (const id of readdirSync(directory).sort()) {
      const folder = join(directory, id);
      if (!found.has(id) && existsSync(join(folder, "model.json"))) found.set(id, folder);
    }
  }
  return found;
}

/**
 * Opens the model of that id.
 *
 * @param sha256 what its model.json must hash to; "": whatever it is.
 * @throws {ConfigError} as `openModel` does, and when there is none, or it is another one.
 */
export async function openModelById(
  directories: readonly string[],
  { id, sha256 }: { id: string; sha256: string },
  variant: string,
): Promise<Model> {
  const folder = listModels(directories).get(id);
  if (!folder) {
    throw new ConfigError(
      `${id}: there is no such folder in ${directories.join(" or ")}: put it there, or set MAITRED_MODELS`,
    );
  }
  const model = await openModel(folder, variant);
  if (model.id !== id) throw new ConfigError(`${folder}: expected ${id}, got ${model.id}: rename the folder`);
  if (sha256 !== "" && model.sha256 !== sha256) {
    throw new ConfigError(
      `${folder}/model.json: expected sha256 ${sha256}, as it was registered, got ${model.sha256}: fetch the model again`,
    );
  }
  return model;
}
