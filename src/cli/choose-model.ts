import { existsSync } from "node:fs";
import { join } from "node:path";
import { modelDirectories, openDefaultModel } from "../../workers/judge.ts";
import type { Config } from "../config.ts";
import { findPostgres } from "../embedded/postgres.ts";
import { openModelById } from "../infer/folders.ts";
import { type Model, openModel } from "../infer/model.ts";
import { packageRoot } from "../package-root.ts";
import { requireSchema } from "../store/migrate.ts";
import { readModels } from "../store/models.ts";
import { connect } from "../store/pool.ts";

/** Opens what an argument names: a folder, or an id below the models directories. Hashes are checked. */
export function openNamed(config: Config, name: string, variant: string): Promise<Model> {
  if (existsSync(join(name, "model.json"))) return openModel(name, variant);
  return openModelById(modelDirectories(config), { id: name, sha256: "" }, variant);
}

/**
 * The model that workers here would run: MAITRED_MODEL, else the active one where a database is named or `maitred up`
 * runs, else the one that ships.
 */
export async function openModelInUse(config: Config): Promise<Model> {
  const url = config.databaseUrl || findPostgres(config.home);
  if (config.model || !url) return openDefaultModel(config);
  const db = connect(url, () => {}, 1);
  try {
    await requireSchema(db, join(packageRoot(), "migrations"));
    const active = (await readModels(db)).find(({ state }) => state === "active");
    if (!active) return await openDefaultModel(config);
    return await openModelById(modelDirectories(config), active, config.variant);
  } finally {
    await db.end();
  }
}
