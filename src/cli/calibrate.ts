import { existsSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { readConfig } from "../config.ts";
import { decide } from "../decide/decide.ts";
import { type Policy, parsePolicy } from "../decide/policy.ts";
import { changesBetween, hasAliases, rewritePolicy } from "../decide/rewrite.ts";
import { ConfigError } from "../errors.ts";
import {
  applyPolicy,
  chooseThresholds,
  crossValidate,
  type Target,
  unattained,
} from "../evaluate/calibrate.ts";
import { clusterOf, type Group, isIn, type Judged, outcomesByGroup } from "../evaluate/effect.ts";
import { requireThere } from "../evaluate/labelled.ts";
import { effectiveSampleSize } from "../evaluate/statistics.ts";
import { saidOf, trainedOn } from "../evaluate/trained-on.ts";
import { openPolicy } from "../wiring/judge.ts";
import { samplesFromLabels, samplesFromVerdicts } from "./calibrate-samples.ts";
import { type Doubts, type Outcome, summaryOf, tooFewOf, warningsOf } from "./calibrate-summary.ts";
import { openChosen, withChosen } from "./choose-model.ts";
import { connectedConfig, defineCommand, EXIT, flags, texts, UsageError } from "./command.ts";
import { between, numberOption, timeOption } from "./options.ts";
import { printResult } from "./output.ts";
import { makeOutputFolder, tryOutputFolder } from "./output-folder.ts";

export const calibrate = defineCommand({
  help: `
usage: maitred calibrate --max-shown SHARE|--max-held SHARE [options] FOLDER|LABELS.JSONL
       maitred calibrate --max-shown SHARE|--max-held SHARE [options] --verdicts [--audit] [--since DATE]

Chooses human.review, and says what the policy of before and the new one do with the same labelled photos (as maitred
evaluate reads them), or with those of moderators' verdicts in Postgres by the scores that they had. Figures of photos
that thresholds were chosen on look better than they are; where there are sources enough, each is also judged by
thresholds that the others chose.

  --max-shown SHARE     at most this share of the photos with a human is shown, such as 0.01; as little as that allows is
                        held back, and human.review stays at or below human.hide
  --max-held SHARE      at most this share of food and ambience without a human is held back, for whatever reason, such
                        as 0.04; as few humans as that allows are shown
  --tag-precision P     thresholds of categories too: the lowest at which tags are right at least this often; those of
                        categories in verify never rise, so that no fewer photos are verified
  --hide-precision P    human.hide too: the lowest at which what is hidden has a human at least this often
  --out FILE            writes the new policy there, with the comments of the old one; without it nothing is written
  --force               also if FILE is there
  --policy FILE         the policy to start from (default: MAITRED_POLICY, or the one that ships)
  --model ID|FOLDER     the model (default: MAITRED_MODEL, else the active one, else the one that ships)
  --variant NAME        its variant (default: the one that runs here)
  --verdicts            learn from moderators' verdicts; --since: only since then
  --audit               of these, audits and what the model sent to review, each weighed by how many photos it stands for;
                        --since: only of photos that the model judged on that day (of UTC) or later
  --json                the result as one JSON object on stdout

  maitred calibrate --max-shown 0.01 --out policy.yaml ./labelled && export MAITRED_POLICY=$PWD/policy.yaml

Exit codes: 0 chosen, 1 no threshold does that, and nothing is written, or the photos are too few to tell it, as what is
written says beside each number.
`,
  words: true,
  options: {
    ...texts("max-shown", "max-held", "tag-precision", "hide-precision", "out", "policy", "model"),
    ...texts("variant", "since"),
    ...flags("force", "verdicts", "audit", "json"),
  },

  async run({ values, positionals }, terminal) {
    const [path, ...rest] = positionals;
    const { out, force, verdicts, audit } = values;
    if (rest.length > 0 || (path === undefined) !== verdicts) {
      throw new UsageError("expected one labelled folder or labels.jsonl, or --verdicts");
    }
    if (!verdicts && (audit || values.since !== undefined)) {
      throw new UsageError("--audit, --since: expected --verdicts too");
    }
    const since = timeOption(values, "since") ?? new Date(0);
    const target = targetOf(values);
    const refused = `--out: expected a new file, got ${out}, which is there; --force replaces it`;
    if (out !== undefined && !force && existsSync(out)) throw new UsageError(refused);
    if (out !== undefined && existsSync(out) && statSync(out).isDirectory())
      throw new UsageError(`--out: expected a file, got the folder ${out}`);
    // before everything is judged, and in vain
    if (out !== undefined) tryOutputFolder("--out", dirname(out));
    if (path !== undefined) requireThere(path);
    const settings = verdicts ? connectedConfig(terminal) : readConfig(terminal.env);
    const config = withChosen(settings, values);
    const model = await openChosen(config, values.model);
    const { policy: base, policyText } = openPolicy(config, model);
    if (out !== undefined && hasAliases(policyText)) throw notPlain();
    const { samples, strata } =
      path === undefined
        ? await samplesFromVerdicts(config, model, { audit, since }, terminal)
        : { samples: await samplesFromLabels(config, model, path, terminal), strata: [] };
    const labels = samples.map(({ label }) => label);
    const known = trainedOn([model], labels);
    for (const each of known) terminal.say(`${saidOf(each)}\n`);
    const group: Group = target.limit === "shown" ? "humans" : "foodAndAmbience";
    const weightsOf = (of: Group): number[] =>
      samples.filter(({ label }) => isIn(of, label)).map(({ weight = 1 }) => weight);
    const standFor = (of: Group): number => weightsOf(of).reduce((all, each) => all + each, 0);
    const counted = effectiveSampleSize(weightsOf(group));
    if (counted === 0) {
      const message = `expected photos ${target.limit === "shown" ? "with a human" : "of food and ambience without a human"} that ${model.id} has judged, got none`;
      throw new ConfigError(message);
    }
    const policy = chooseThresholds(samples, base, target, decide);
    const effectOf = (judged: readonly Judged[]) => outcomesByGroup(judged, strata);
    const chosen: Outcome = {
      model: model.id,
      photos: samples.length,
      sources: new Set(labels.map(clusterOf)).size,
      target,
      before: { policy: base, effect: effectOf(applyPolicy(samples, base, decide)) },
      after: policy ? { policy, effect: effectOf(applyPolicy(samples, policy, decide)) } : null,
      byOthers: null,
      strata,
      trainedOn: known,
      warnings: [],
    };
    if (policy) {
      const others = crossValidate(samples, base, target, decide);
      chosen.byOthers = others ? effectOf(others) : null;
    }
    const doubts: Doubts = {
      // equal weights that are no whole numbers may add up to a little less
      counted: Math.floor(counted + 1e-6),
      standFor: standFor(group),
      humans: standFor("humans"),
      biased: verdicts && !audit,
      stay: unattained(samples, base, target),
    };
    const tooFew = tooFewOf(chosen, doubts);
    chosen.warnings = [...tooFew, ...warningsOf(chosen, doubts)];
    if (policy && out !== undefined) {
      const yaml = written(policyText, base, policy, chosen, tooFew);
      // what is written must be what was measured
      const read = parsePolicy(yaml, model.categories, out);
      if (!isDeepStrictEqual(read, { ...policy, model: model.id })) throw notPlain();
      makeOutputFolder("--out", dirname(out));
      try {
        writeFileSync(out, yaml, { flag: force ? "w" : "wx" });
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === "EEXIST") throw new UsageError(refused);
        throw new ConfigError(`--out: ${(thrown as Error).message}`, { cause: thrown });
      }
    }
    const lines = summaryOf(chosen, policy ? out : undefined, tooFew.length === 0);
    printResult(terminal, values.json, chosen, lines);
    return policy && tooFew.length === 0 ? EXIT.done : EXIT.notAll;
  },
});

type Share = "max-shown" | "max-held" | "tag-precision" | "hide-precision";

function targetOf(values: { [Each in Share]?: string }): Target {
  const share = (name: Share): number | null => numberOption(values, name, between(0, 1)) ?? null;
  const [shown, held] = [share("max-shown"), share("max-held")];
  const most = shown ?? held;
  if (most === null || (shown !== null && held !== null)) {
    throw new UsageError("expected one of --max-shown and --max-held");
  }
  return {
    limit: shown === null ? "held" : "shown",
    share: most,
    tagPrecision: share("tag-precision"),
    hidePrecision: share("hide-precision"),
  };
}

function notPlain(): ConfigError {
  const message =
    "--policy: expected plain numbers, got anchors (&) or aliases (*), by which one number changes others";
  return new ConfigError(message);
}

function written(
  text: string,
  base: Policy,
  policy: Policy,
  { target, photos, model }: Outcome,
  tooFew: readonly string[],
): string {
  const aim = `--max-${target.limit} ${target.share}`;
  const about = `maitred calibrate ${aim} on ${photos} photos with ${model}, ${new Date().toISOString().slice(0, 10)}`;
  return rewritePolicy(text, changesBetween(base, policy), { model, why: [about, ...tooFew].join("; ") });
}
