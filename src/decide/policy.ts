import { createHash } from "node:crypto";
import { parse } from "yaml";
import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { expected, mistakesOf } from "../expected.ts";

const probability = z.number().min(0).max(1);

const schema = z
  .strictObject({
    version: z.literal(1),
    model: z.string().min(1).optional(),
    human: z.strictObject({ hide: probability, review: probability }),
    categories: z.record(z.string().min(1), probability),
    verify: z.array(
      z.string(),
      "expected the categories that a person checks before they are shown, such as [menu]; [] says none",
    ),
    hide: z
      .array(z.string(), "expected the categories that are not to be shown, such as [other]; [] says none")
      .default([]),
  })
  .refine((policy) => policy.human.review <= policy.human.hide, {
    path: ["human", "review"],
    message: "expected review <= hide: the uncertain band lies below the threshold that hides",
  })
  .refine((policy) => !policy.hide.some((category) => policy.verify.includes(category)), {
    path: ["hide"],
    message: "expected categories that are not in verify: what is hidden is not asked about",
  });

/**
 * Thresholds 0..1; `model` is the one that they were chosen for, and decides nothing; `verify` names categories that a person
 * checks before they are shown, `hide` those that are not shown.
 */
export type Policy = Readonly<z.infer<typeof schema>>;

/**
 * Reads a policy from YAML and checks it against the categories of the model it will judge.
 *
 * @param categories undefined where they are not known yet: any may be named.
 * @param absent what stands for keys that are not there.
 * @throws {ConfigError} with one line a mistake.
 */
export function parsePolicy(
  yaml: string,
  categories: readonly string[] | undefined,
  name: string,
  absent?: Partial<Policy>,
): Policy {
  let raw: unknown;
  try {
    raw = parse(yaml);
  } catch (cause) {
    throw new ConfigError(`${name}: expected YAML: ${(cause as Error).message}`, { cause });
  }
  const given: unknown = absent ? { ...absent, ...(raw as object) } : raw;
  const { data, error } = schema.safeParse(given, { error: expected });
  const mistakes = (error?.issues ?? [])
    .flatMap(mistakesOf)
    .map(({ path, message }) => [...(path.length > 0 ? [path.join(".")] : []), message].join(": "));
  const problems = [...mistakes, ...(categories ? unknownIn(given, categories) : [])];
  if (data && problems.length === 0) return Object.freeze(data);
  throw new ConfigError(problems.map((problem) => `${name}: ${problem}`).join("\n"));
}

/** What a verdict calls the policy that gave it: the same text has the same name everywhere. */
export function policyIdOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** Where a policy, be it as it may else, and a model speak of different categories. */
function unknownIn(given: unknown, categories: readonly string[]): string[] {
  const named = naming.safeParse(given).data;
  const thresholds = named?.categories && Object.keys(named.categories);
  return [
    ...categories
      .filter((category) => thresholds?.includes(category) === false)
      .map((category) => `categories: expected a threshold for ${category}, which the model gives`),
    ...[...(thresholds ?? []), ...(named?.verify ?? []), ...(named?.hide ?? [])]
      .filter((category) => !categories.includes(category))
      .map((category) => `${category}: the model knows only ${categories.join(", ")}`),
  ];
}

const naming = z.object({
  categories: z.record(z.string(), z.unknown()).optional().catch(undefined),
  verify: z.array(z.string()).optional().catch(undefined),
  hide: z.array(z.string()).optional().catch(undefined),
});

/** What is wrong where a model is decided on by thresholds that were chosen for another; "" where nothing is, or none is named. */
export function unfitFor(policy: Policy, model: string): string {
  if (policy.model === undefined || policy.model === model) return "";
  return `the policy has the thresholds of ${policy.model}, not of ${model}: choose others with maitred calibrate, or name ${model} in it`;
}
