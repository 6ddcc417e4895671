import { ConfigError } from "./errors.ts";
import type { Setting } from "./setting.ts";
import { backfill } from "./settings/backfill.ts";
import { desk } from "./settings/desk.ts";
import { effects } from "./settings/effects.ts";
import { intake } from "./settings/intake.ts";
import { judging } from "./settings/judging.ts";
import { photos } from "./settings/photos.ts";

/** All there are, in the order in which they are printed. */
const settings = { ...judging, ...intake, ...effects, ...backfill, ...desk, ...photos };

export type Config = Readonly<{ [K in keyof typeof settings]: (typeof settings)[K]["fallback"] }>;

/**
 * Reads every setting before it fails, so one start shows every mistake.
 *
 * @throws {ConfigError} with one line a mistake.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const values = Object.entries(settings).map(([key, setting]) => {
    try {
      return [key, read(setting, env)];
    } catch (error) {
      problems.push((error as Error).message);
      return [key, undefined];
    }
  });
  const known = new Set<string>(Object.values(settings).map((setting) => setting.env));
  for (const name of Object.keys(env)) {
    if (name.startsWith("MAITRED_") && !known.has(name)) problems.push(`${name}: no setting has this name`);
  }
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  return Object.freeze(Object.fromEntries(values)) as Config;
}

/** Every setting as it is in effect, without secrets: what `maitred config` and the README table print. */
export function describeConfig(
  config: Config,
): { env: string; value: string; fallback: string; help: string }[] {
  return Object.entries(settings).map(([key, setting]) => ({
    env: setting.env,
    value: setting.secret
      ? withoutSecret(String(config[key as keyof Config]))
      : String(config[key as keyof Config]),
    fallback: setting.env === "MAITRED_HOME" ? ".maitred" : String(setting.fallback),
    help: setting.help,
  }));
}

/** A URL without its password, for logs and screens; anything that is no URL becomes `***`. */
export function withoutSecret(value: string): string {
  if (value === "") return "";
  try {
    const url = new URL(value);
    if (!/^(postgres(ql)?|rediss?):$/.test(url.protocol)) return "***";
    return `${url.protocol}//${url.username ? `${url.username}:***@` : ""}${url.host}${url.pathname}`;
  } catch {
    return "***";
  }
}

function read(setting: Setting<unknown>, env: Readonly<Record<string, string | undefined>>): unknown {
  const raw = env[setting.env]?.trim();
  return raw ? setting.read(raw) : setting.fallback;
}
