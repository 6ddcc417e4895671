import { basename, join, resolve } from "node:path";
import { type Config, readConfig } from "../config.ts";
import { decide } from "../decide/decide.ts";
import { ConfigError } from "../errors.ts";
import { type Comparison, compare } from "../evaluate/comparison.ts";
import type { Judged } from "../evaluate/effect.ts";
import { judgedOf, evaluate as measure } from "../evaluate/evaluation.ts";
import { type LabelledSet, readLabelledSet, requireThere, sample } from "../evaluate/labelled.ts";
import { renderPage } from "../evaluate/page.ts";
import { DIFFERENCES_SHOWN } from "../evaluate/page-photos.ts";
import { asJson, type Report, type Subject } from "../evaluate/report.ts";
import { saidOf, type TrainedOn, trainedOn } from "../evaluate/trained-on.ts";
import type { Model } from "../infer/model.ts";
import { replaceFile } from "../replace-file.ts";
import { openChosen, withChosen } from "./choose-model.ts";
import { defineCommand, EXIT, flags, type Terminal, texts, UsageError } from "./command.ts";
import { summaryOf } from "./evaluate-summary.ts";
import { createCounter, judgeLabels, openFileJudge } from "./file-judge.ts";
import { numberOption, whole } from "./options.ts";
import { makeOutputFolder, tryOutputFolder } from "./output-folder.ts";
import { makeThumbnails } from "./thumbnails.ts";

export const evaluate = defineCommand({
  help: `
usage: maitred evaluate [options] FOLDER|LABELS.JSONL

Judges labelled photos as a worker does, and says how good that is: category accuracy, precision, recall and F1, how
well humans are told from none, whether probabilities mean what they say, and what the policy would show and hold back;
all with 95 % intervals that know that photos of one source are alike. FOLDER holds a labels.jsonl, or sub-folders
named food/, ambience/, menu/, other/, human/, nohuman/ (docs/evaluate.md). Photos that cannot be judged, and lines
that are no labels or say a photo again, are named and left out.

  --out FOLDER              writes index.html, one page with everything on it, and evaluation.json there
  --model ID|FOLDER         the model (default: MAITRED_MODEL, else the active one, else the one that ships)
  --variant NAME            its variant, such as int8 (default: MAITRED_VARIANT, else the one that runs here)
  --compare ID|FOLDER       another model on the same photos, with McNemar's test, and the photos on which they differ
  --compare-variant NAME    its variant (default: as --variant); without --compare, that of the same model
  --policy FILE             instead of MAITRED_POLICY
  --limit N                 so many photos, spread evenly over the set
  --worst N                 mistakes of each kind that the page shows (default 24)
  --json                    the whole report as one JSON object on stdout

  maitred evaluate --out report ./labelled
  maitred evaluate --model ours-1 --compare restaurant-6 --out report ./labelled

Exit codes: 0 every label counted, 1 some photos or lines were left out.
`,
  words: true,
  options: {
    ...texts("out", "model", "variant", "compare", "compare-variant", "policy", "limit", "worst"),
    ...flags("json"),
  },

  async run({ values, positionals }, terminal) {
    const { out } = values;
    const [path, ...rest] = positionals;
    if (path === undefined || rest.length > 0)
      throw new UsageError("expected one labelled folder or labels.jsonl");
    const worst = numberOption(values, "worst", whole(1)) ?? 24;
    const limit = numberOption(values, "limit", whole(1)) ?? Number.MAX_SAFE_INTEGER;
    const config = withChosen(readConfig(terminal.env), values);
    requireThere(path);
    const models = await modelsOf(values, config);
    const set = await readLabelledSet(path, models[0]!.categories);
    const labelled = { ...set, labels: sample(set.labels, limit) };
    const known = trainedOn(models, labelled.labels);
    for (const each of known) terminal.say(`${saidOf(each)}\n`);
    // before everything is judged, and in vain
    if (out !== undefined) tryOutputFolder("--out", out);
    const { report, paths } = await reportOf(config, models, labelled, known, worst, terminal, path);
    if (out !== undefined) {
      const thumbnails = await makeThumbnails(config, paths);
      makeOutputFolder("--out", out);
      await replaceFile(join(out, "evaluation.json"), `${asJson(report, 1)}\n`);
      await replaceFile(join(out, "index.html"), renderPage(report, thumbnails));
    }
    if (values.json) terminal.print(asJson(report));
    else {
      for (const line of summaryOf(report)) terminal.print(line);
      if (out !== undefined) for (const line of ["", join(out, "index.html")]) terminal.print(line);
    }
    return report.problems.length + report.unjudged.length === 0 ? EXIT.done : EXIT.notAll;
  },
});

async function modelsOf(
  values: { model?: string; compare?: string; "compare-variant"?: string },
  config: Config,
): Promise<Model[]> {
  const { model, compare: other, "compare-variant": variant } = values;
  const first = await openChosen(config, model);
  if (other === undefined && variant === undefined) return [first];
  const second = await openChosen({ ...config, variant: variant ?? config.variant }, other ?? model);
  if (first.categories.toSorted().join() !== second.categories.toSorted().join()) {
    throw new ConfigError(
      `--compare: expected the categories ${first.categories.join(", ")}, got ${second.categories.join(", ")}`,
    );
  }
  return [first, second];
}

async function reportOf(
  config: Config,
  models: readonly Model[],
  { labels, problems, copies }: LabelledSet,
  known: TrainedOn[],
  worst: number,
  terminal: Terminal,
  path: string,
): Promise<{ report: Report; paths: string[] }> {
  const subjects: Subject[] = [];
  const all: Judged[][] = [];
  const unjudged = new Map<string, Report["unjudged"][number]>();
  let thresholds: Report["policy"]["thresholds"] | undefined;
  // one after the other: together they would take each other's cores and hold twice the memory
  for (const model of models) {
    const judge = await openFileJudge(config, model);
    const { variant, provider } = judge.ready;
    const name = `${model.id} ${variant}`;
    thresholds = judge.policy;
    try {
      const counter = createCounter(terminal, name, labels.length);
      const done = await judgeLabels(judge, labels, counter.count).finally(counter.stop);
      for (const { file, error } of done.unjudged) {
        unjudged.set(file, { file, code: error.code, message: error.message });
      }
      const judged = judgedOf(labels, done.scores, (scores) => decide(scores, judge.policy));
      all.push(judged);
      const evaluation = measure(judged, model.categories, worst);
      subjects.push({ name, model: model.id, variant, provider, evaluation });
    } finally {
      await judge.close();
    }
  }
  if (subjects.every(({ evaluation }) => evaluation.photos === 0)) {
    throw new ConfigError(
      `${path}: expected photos that can be judged, got none: ${[...unjudged.values()][0]?.message}`,
    );
  }
  const comparison = all[1] ? compare(all[0]!, all[1], thresholds!.human.review) : null;
  const report: Report = {
    set: basename(resolve(path)),
    at: new Date().toISOString(),
    policy: {
      file: config.policy ? basename(config.policy) : "the policy that ships",
      thresholds: thresholds!,
    },
    labelled: labels.length,
    problems: [...problems, ...copies],
    unjudged: [...unjudged.values()],
    subjects,
    trainedOn: known,
    comparison,
  };
  return { report, paths: pathsOf(subjects, comparison) };
}

/** The photos that the page shows. */
function pathsOf(subjects: readonly Subject[], comparison: Comparison | null): string[] {
  const mistakes = subjects.flatMap(({ evaluation }) =>
    Object.values(evaluation.mistakes).flatMap(({ worst }) => worst),
  );
  const differences = comparison?.differences.slice(0, DIFFERENCES_SHOWN) ?? [];
  return [...new Set([...mistakes, ...differences].map((each) => each.path))];
}
