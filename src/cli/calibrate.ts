import { existsSync } from "node:fs";
import { readConfig } from "../config.ts";
import { decide } from "../decide/decide.ts";
import type { Policy } from "../decide/policy.ts";
import { ConfigError } from "../errors.ts";
import {
  applyPolicy,
  chooseThresholds,
  crossValidate,
  type Sample,
  type Target,
  unattained,
} from "../evaluate/calibrate.ts";
import {
  clusterOf,
  type Group,
  isIn,
  type Judged,
  outcomesByGroup,
  type Stratum,
} from "../evaluate/effect.ts";
import { requireThere } from "../evaluate/labelled.ts";
import { effectiveSampleSize } from "../evaluate/statistics.ts";
import { saidOf, trainedOn } from "../evaluate/trained-on.ts";
import { openPolicy } from "../wiring/judge.ts";
import { requirePlain, requireWritable, writePolicy } from "./calibrate-policy.ts";
import { samplesFromLabels, samplesFromVerdicts } from "./calibrate-samples.ts";
import { type Doubts, type Outcome, summaryOf, tooFewOf, warningsOf } from "./calibrate-summary.ts";
import { openChosen, withChosen } from "./choose-model.ts";
import { connectedConfig, defineCommand, EXIT, flags, texts, UsageError } from "./command.ts";
import { between, numberOption, timeOption } from "./options.ts";
import { printResult } from "./output.ts";

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
  --out FILE            writes the new policy there, with the comments of the old one, if the photos are enough to tell
  --force               also if they are too few, or if FILE is there: not both
  --policy FILE         the policy to start from (default: MAITRED_POLICY, or the one that ships)
  --model ID|FOLDER     the model (default: MAITRED_MODEL, else the active one, else the one that ships)
  --variant NAME        its variant (default: the one that runs here)
  --verdicts            learn from moderators' verdicts; --since: only since then
  --audit               of these, audits and what the model sent to review, each weighed by how many photos it stands for;
                        --since: only of photos that the model judged on that day (of UTC) or later
  --json                the result as one JSON object on stdout

  maitred calibrate --max-shown 0.01 --out policy.yaml ./labelled && export MAITRED_POLICY=$PWD/policy.yaml

Exit codes: 0 chosen, 1 no threshold does that, or the photos are too few to tell: without --force nothing is written then.
`,
  words: true,
  options: {
    ...texts("max-shown", "max-held", "tag-precision", "hide-precision", "out", "policy", "model"),
    ...texts("variant", "since"),
    ...flags("force", "verdicts", "audit", "json"),
  },

  async run({ values, positionals: [path, ...rest] }, terminal) {
    const { out, force, verdicts, audit } = values;
    if (rest.length > 0 || (path === undefined) !== verdicts) {
      throw new UsageError("expected one labelled folder or labels.jsonl, or --verdicts");
    }
    if (!verdicts && (audit || values.since !== undefined)) {
      throw new UsageError("--audit, --since: expected --verdicts too");
    }
    const since = timeOption(values, "since") ?? new Date(0);
    const target = targetOf(values);
    // before everything is judged, and in vain
    if (out !== undefined) requireWritable(out, force);
    if (path !== undefined) requireThere(path);
    const config = withChosen(verdicts ? connectedConfig(terminal) : readConfig(terminal.env), values);
    const model = await openChosen(config, values.model);
    const { policy: base, policyText } = openPolicy(config, model);
    if (out !== undefined) requirePlain(policyText);
    const judged =
      path === undefined
        ? await samplesFromVerdicts(config, model, { audit, since }, terminal)
        : { samples: await samplesFromLabels(config, model, path, terminal), strata: [] };
    const known = trainedOn(
      [model],
      judged.samples.map(({ label }) => label),
    );
    for (const each of known) terminal.say(`${saidOf(each)}\n`);
    const { chosen, tooFew } = choose(model.id, base, target, judged, { biased: verdicts && !audit });
    chosen.trainedOn = known;
    const told = tooFew.length === 0;
    const policy = chosen.after?.policy;
    // what many photos chose is not replaced by what a few did
    const writes = out !== undefined && policy !== undefined && (told || (force && !existsSync(out)));
    chosen.written = writes;
    let refusal: Error | undefined;
    if (writes) {
      const why = [aboutOf(chosen), ...tooFew].join("; ");
      await writePolicy(out, { force, told }, policyText, { base, policy, model, why }).catch(
        (error: Error) => {
          chosen.written = false;
          refusal = error;
        },
      );
    }
    // also where it cannot be written: it took minutes to measure
    const about = { out: refusal ? undefined : out, told, writes };
    printResult(terminal, values.json, chosen, summaryOf(chosen, about));
    if (refusal) throw refusal;
    return policy && told ? EXIT.done : EXIT.notAll;
  },
});

/** What the target comes to on these samples, and why they cannot tell that it is met. */
function choose(
  model: string,
  base: Policy,
  target: Target,
  { samples, strata }: { samples: readonly Sample[]; strata: Stratum[] },
  { biased }: Pick<Doubts, "biased">,
): { chosen: Outcome; tooFew: string[] } {
  const weightsOf = (of: Group): number[] =>
    samples.filter(({ label }) => isIn(of, label)).map(({ weight = 1 }) => weight);
  const standFor = (of: Group): number => weightsOf(of).reduce((all, each) => all + each, 0);
  const group: Group = target.limit === "shown" ? "humans" : "foodAndAmbience";
  const counted = effectiveSampleSize(weightsOf(group));
  if (counted === 0) {
    const what = target.limit === "shown" ? "with a human" : "of food and ambience without a human";
    throw new ConfigError(`expected photos ${what} that ${model} has judged, got none`);
  }
  const policy = chooseThresholds(samples, base, target, decide);
  const others = policy && crossValidate(samples, base, target, decide);
  const effectOf = (judged: readonly Judged[]) => outcomesByGroup(judged, strata);
  const chosen: Outcome = {
    model,
    photos: samples.length,
    sources: new Set(samples.map(({ label }) => clusterOf(label))).size,
    target,
    before: { policy: base, effect: effectOf(applyPolicy(samples, base, decide)) },
    after: policy ? { policy, effect: effectOf(applyPolicy(samples, policy, decide)) } : null,
    byOthers: others ? effectOf(others) : null,
    strata,
    trainedOn: [],
    warnings: [],
    written: false,
  };
  const doubts: Doubts = {
    // equal weights that are no whole numbers may add up to a little less
    counted: Math.floor(counted + 1e-6),
    standFor: standFor(group),
    humans: standFor("humans"),
    biased,
    stay: unattained(samples, base, target),
  };
  const tooFew = tooFewOf(chosen, doubts);
  chosen.warnings = [...tooFew, ...warningsOf(chosen, doubts)];
  return { chosen, tooFew };
}

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

function aboutOf({ target, photos, model }: Outcome): string {
  const aim = `--max-${target.limit} ${target.share}`;
  return `maitred calibrate ${aim} on ${photos} photos with ${model}, ${new Date().toISOString().slice(0, 10)}`;
}
