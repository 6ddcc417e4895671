import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { openModelById } from "../infer/folders.ts";
import { type Model, openModel } from "../infer/model.ts";
import { readModels } from "../store/models.ts";
import { modelDirectories, openDefaultModel, readPolicy } from "../wiring/judge.ts";
import { withEmbedded } from "./command.ts";
import { withPostgres } from "./postgres.ts";

/** The settings with what `--policy` and `--variant` say instead. @throws {ConfigError} where that policy cannot be read. */
export function withChosen(
  config: Config,
  { policy, variant = config.variant }: { policy?: string; variant?: string },
): Config {
  // here nothing is to be mended in MAITRED_POLICY
  if (policy !== undefined) readPolicy(policy);
  return { ...config, policy: policy ?? config.policy, variant };
}

/** The model that an option names, in the variant of the settings; without it the one in use. */
export function openChosen(config: Config, name: string | undefined): Promise<Model> {
  return name === undefined ? openModelInUse(config) : openNamed(config, name, config.variant);
}

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
  const connected = withEmbedded(config);
  if (config.model || !connected.databaseUrl) return openDefaultModel(config);
  const active = (await withPostgres(connected, readModels)).find(({ state }) => state === "active");
  if (!active) return openDefaultModel(config);
  return openModelById(modelDirectories(config), active, config.variant);
}
