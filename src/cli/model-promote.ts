import type { Config } from "../config.ts";
import { unfitFor } from "../decide/policy.ts";
import { asError, ConfigError } from "../errors.ts";
import { type Label, readLabelled, requireThere, someOf } from "../evaluate/labelled.ts";
import { comparePaired, type PairedComparison, QUESTIONS } from "../evaluate/paired-comparison.ts";
import { FEWEST_TO_DIFFER } from "../evaluate/statistics.ts";
import { saidOf, trainedOn } from "../evaluate/trained-on.ts";
import { openModelById } from "../infer/folders.ts";
import type { Model } from "../infer/model.ts";
import type { Scores } from "../photo.ts";
import { promoteModel, readModels, readPromotions, registerModel, rollbackModel } from "../store/models.ts";
import { modelDirectories, openPolicy, openShippedModel } from "../wiring/judge.ts";
import { connectedConfig, EXIT, UsageError } from "./command.ts";
import { duelTable } from "./evaluate-summary.ts";
import { judgeLabels, openFileJudge } from "./file-judge.ts";
import type { ModelCommand } from "./model-command.ts";
import { accountOption } from "./options.ts";
import { printResult } from "./output.ts";
import { counted } from "./plural.ts";
import { withPostgres } from "./postgres.ts";
import { unfitWorkers } from "./worker-policies.ts";

export const promote: ModelCommand = async ({ values, positionals: [id] }, terminal) => {
  const { gold, reason, force } = values;
  if (id === undefined) throw new UsageError("expected the id of a model");
  if (force && !reason) throw new UsageError("--force: expected --reason too, for the history");
  if (!force && gold === undefined) {
    throw new UsageError("expected --gold with labelled photos, or --force --reason WHY");
  }
  if (gold !== undefined) requireThere(gold);
  const config = connectedConfig(terminal);
  const by = accountOption(values);
  const candidate = await openModelById(modelDirectories(config), { id, sha256: "" }, config.variant);
  return withPostgres(config, async (db) => {
    const row = (await readModels(db)).find(({ state }) => state === "active");
    if (row?.id === id) throw new ConfigError(`${id} is active already`);
    // an active one that is not needed here need not be here
    const active = row && gold === undefined ? undefined : await openActive(config, row);
    const labels = gold === undefined || !active ? [] : await readLabelled(gold, active.categories);
    const known = active && labels.length > 0 ? trainedOn([active, candidate], labels) : [];
    for (const each of known) terminal.say(`${saidOf(each)}\n`);
    // also without a gold set the candidate must be one that runs
    const duels =
      gold === undefined || !active
        ? await runOnce(config, candidate)
        : await judgeBoth(config, labels, active, candidate);
    const from = row?.id ?? (active && active.id !== id ? active.id : null);
    const worse = duels.filter((each) => each.worse).map(({ question }) => question);
    // of so few whatever it answers is let pass
    const tooFew = duels.filter(({ photos }) => photos < FEWEST_TO_DIFFER);
    const against: string[] = [];
    if (worse.length > 0) {
      const names = worse.map((question) => QUESTIONS[question]).join(", and in ");
      against.push(`it is worse beyond chance in ${names}`);
    }
    if (tooFew.length > 0) {
      against.push(
        `${tooFew.map(askedOf).join(", ")} tell nothing, ${FEWEST_TO_DIFFER} or more of each could`,
      );
    }
    const unfit = await unfitWorkers(db, id);
    against.push(...unfit);
    const promoted = against.length === 0 || force;
    if (promoted) {
      terminal.say(unfit.length > 0 ? warnings(unfit) : saidOfPolicy(config, candidate));
      if (!row && active && active.id !== id) await registerModel(db, active, by);
      await registerModel(db, candidate, by);
      const why = reason ?? `not worse on the gold set: ${duels.map(askedOf).join(", ")}`;
      await promoteModel(db, { to: id, from, by, why, figures: duels.length > 0 ? duels : null });
    }
    for (const each of tooFew) {
      const few = `--gold: ${askedOf(each)}, of which too few say nothing`;
      terminal.say(`${few}: give ${FEWEST_TO_DIFFER} or more, and hundreds to find small differences\n`);
    }
    const unmeasured = tooFew.map(({ question }) => question);
    const compared = duels.length > 0 ? duelTable(duels, from ?? "-", id) : [];
    const result = { promoted, from, to: id, worse, unmeasured, unfit, trainedOn: known, duels };
    const said = promoted
      ? `${id} is active; workers that have its folder follow within seconds: maitred model list shows which`
      : `${id} is not promoted: ${against.join("; ")}; --force --reason WHY promotes it all the same`;
    printResult(terminal, values.json, result, [...compared, said]);
    return promoted ? EXIT.done : EXIT.notAll;
  });
};

export const rollback: ModelCommand = async ({ values }, terminal) => {
  const { reason, from: expected, force } = values;
  if (!reason) throw new UsageError("expected --reason, for the history");
  const config = connectedConfig(terminal);
  return withPostgres(config, async (db) => {
    const models = await readModels(db);
    const active = models.find(({ state }) => state === "active")?.id ?? null;
    const from = expected ?? active;
    const to = (await readPromotions(db)).find(({ kind, to }) => kind === "promote" && to === from)?.from;
    const previous = models.find(({ id }) => id === to);
    // workers would keep the one that they are to leave, and one that starts would not
    const model =
      previous && from === active && !force
        ? await openModelById(modelDirectories(config), previous, config.variant)
        : undefined;
    const id = await rollbackModel(db, { from, by: accountOption(values), why: reason });
    const unfit = await unfitWorkers(db, id);
    if (unfit.length > 0) terminal.say(warnings(unfit));
    else if (model) terminal.say(saidOfPolicy(config, model));
    const said = `${id} is active again, after ${from}; workers that have its folder follow within seconds: maitred model list shows which`;
    printResult(terminal, values.json, { active: id, from }, said);
    return EXIT.done;
  });
};

function warnings(of: readonly string[]): string {
  return of.map((each) => `warning: ${each}\n`).join("");
}

/** A warning where the policy here is not for that model, else nothing: workers that have not told theirs may have the same. */
function saidOfPolicy(config: Config, model: Model): string {
  let unfit: string;
  try {
    unfit = unfitFor(openPolicy(config, model).policy, model.id);
  } catch (thrown) {
    // which model is active is no matter of the policy here
    unfit = asError(thrown).message;
  }
  return (
    unfit && `warning: ${unfit} (this is the policy here, of MAITRED_POLICY: look at that of your workers)\n`
  );
}

function openActive(config: Config, row: { id: string; sha256: string } | undefined): Promise<Model> {
  return row ? openModelById(modelDirectories(config), row, config.variant) : openShippedModel(config);
}

async function runOnce(config: Config, model: Model): Promise<PairedComparison[]> {
  await (await openFileJudge(config, model)).close();
  return [];
}

async function judgeBoth(
  config: Config,
  labels: readonly Label[],
  active: Model,
  candidate: Model,
): Promise<PairedComparison[]> {
  const before = await judgeAll(config, active, labels);
  const after = await judgeAll(config, candidate, labels);
  const duels = comparePaired(labels, before.scores, after.scores, after.review);
  if (duels.some(({ photos }) => photos > 0)) return duels;
  throw new ConfigError("--gold: expected photos with a category, a human or none, got none");
}

/** @throws {ConfigError} with the photos that cannot be judged. */
async function judgeAll(
  config: Config,
  model: Model,
  labels: readonly Label[],
): Promise<{ scores: (Scores | undefined)[]; review: number }> {
  const judge = await openFileJudge(config, model);
  try {
    const { scores, unjudged } = await judgeLabels(judge, labels);
    const passing = unjudged.find(({ error }) => error.retry);
    if (passing) throw passing.error;
    if (unjudged.length > 0) {
      // a model that was not asked about them was not measured
      const named = unjudged.map(({ file, error }) => `${file}: ${error.code}: ${error.message}`);
      const what = `--gold: expected photos that can be judged: mend these, or take them out: ${unjudged.length} of ${labels.length}`;
      throw new ConfigError([what, ...someOf(named)].join("\n"));
    }
    return { scores, review: judge.policy.human.review };
  } finally {
    await judge.close();
  }
}

/** What says that a photo is asked about. */
const ASKED_OF = {
  category: "with a category",
  human: "with a human",
  clear: "without a human",
} satisfies Record<PairedComparison["question"], string>;

function askedOf({ question, photos }: PairedComparison): string {
  return `${counted(photos, "photo")} ${ASKED_OF[question]}`;
}
