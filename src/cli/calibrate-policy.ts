import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Policy, parsePolicy } from "../decide/policy.ts";
import { changesBetween, hasAliases, rewritePolicy } from "../decide/rewrite.ts";
import { ConfigError } from "../errors.ts";
import type { Model } from "../infer/model.ts";
import { replaceFile, writeNewFile } from "../replace-file.ts";
import { UsageError } from "./command.ts";
import { makeOutputFolder, tryOutputFolder } from "./output-folder.ts";

/** @throws {UsageError} where a policy cannot be written to this file, or must not. */
export function requireWritable(out: string, force: boolean): void {
  if (!force && existsSync(out)) throw isThere(out, REPLACES);
  if (existsSync(out) && statSync(out).isDirectory())
    throw new UsageError(`--out: expected a file, got the folder ${out}`);
  tryOutputFolder("--out", dirname(out));
}

/** @throws {ConfigError} where one number of this text cannot be changed without another. */
export function requirePlain(policyText: string): void {
  if (hasAliases(policyText)) throw notPlain();
}

/**
 * Writes the text of `base` with the numbers of `policy` in it.
 *
 * @param told whether the photos are enough. Only then does `force` replace a file that is there; else that is refused, also where
 *   it came since `requireWritable`.
 */
export async function writePolicy(
  out: string,
  { force, told }: { force: boolean; told: boolean },
  text: string,
  { base, policy, model, why }: { base: Policy; policy: Policy; model: Model; why: string },
): Promise<void> {
  const yaml = rewritePolicy(text, changesBetween(base, policy), { model: model.id, why });
  // what is written must be what was measured
  const read = parsePolicy(yaml, model.categories, out);
  if (!isDeepStrictEqual(read, { ...policy, model: model.id })) throw notPlain();
  makeOutputFolder("--out", dirname(out));
  if (force && told) await replaceFile(out, yaml);
  else if (!(await writeNewFile(out, yaml))) throw isThere(out, force ? REPLACES_NOT : REPLACES);
}

function isThere(out: string, hint: string): UsageError {
  return new UsageError(`--out: expected a new file, got ${out}, which is there; ${hint}`);
}

const REPLACES = "--force replaces it";
const REPLACES_NOT = "what too few photos chose does not replace it";

function notPlain(): ConfigError {
  const message =
    "--policy: expected plain numbers, got anchors (&) or aliases (*), by which one number changes others";
  return new ConfigError(message);
}
