import { join } from "node:path";
import type { Config } from "../config.ts";
import type { Sample } from "../evaluate/calibrate.ts";
import { type Label, readLabelledSet, someOf } from "../evaluate/labelled.ts";
import type { Model } from "../infer/model.ts";
import { labelOf } from "../label.ts";
import { packageRoot } from "../package-root.ts";
import { reviewedPhotos } from "../store/labels.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect } from "../store/pool.ts";
import { createCounter, judgeLabels, openFileJudge } from "./judging.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Judges the photos of a labelled set; what is left out is said. */
export async function samplesFromLabels(
  config: Config,
  model: Model,
  path: string,
  terminal: Terminal,
): Promise<Sample[]> {
  const { labels, problems } = readLabelledSet(path, model.categories);
  if (problems.length > 0) sayAll(terminal, `lines that are left out: ${problems.length}`, problems);
  const judge = await openFileJudge(config, model);
  try {
    const counter = createCounter(terminal, model.id, labels.length);
    const { scores, unjudged } = await judgeLabels(judge, labels, counter.count).finally(counter.stop);
    if (unjudged.length > 0) {
      const named = unjudged.map(({ file, error }) => `${file}: ${error.code}: ${error.message}`);
      sayAll(terminal, `photos that could not be judged: ${unjudged.length}`, named);
    }
    return labels.flatMap((label, index) => (scores[index] ? [{ label, scores: scores[index] }] : []));
  } finally {
    await judge.close();
  }
}

function sayAll({ say }: Terminal, title: string, lines: readonly string[]): void {
  for (const line of [title, ...someOf(lines)]) say(`${printable(line)}\n`);
}

/**
 * What moderators said of photos, with the scores that the model gave them before. Photos that another model judged
 * last are left out, because thresholds are of one model's scores.
 */
export async function samplesFromVerdicts(
  config: Config,
  model: Model,
  { audit, since }: { audit: boolean; since: Date },
  terminal: Terminal,
): Promise<Sample[]> {
  const db = connect(config.databaseUrl, () => {}, 1);
  const samples: Sample[] = [];
  let others = 0;
  try {
    await requireSchema(db, join(packageRoot(), "migrations"));
    for await (const page of reviewedPhotos(db, { since, ...(audit && { audit }) })) {
      for (const photo of page) {
        const said = photo.model;
        const known = labelOf(photo);
        if (!known) continue;
        if (said?.by !== `model:${model.id}`) {
          others++;
          continue;
        }
        const { category, human, source } = known;
        const none = { hands: false, small: false, kind: null, persons: null };
        const label: Label = {
          file: photo.key,
          path: `${photo.bucket}/${photo.key}`,
          category,
          human,
          source,
          ...none,
        };
        samples.push({ label, scores: { categories: said.scores, human: said.human } });
      }
    }
  } finally {
    await db.end();
  }
  if (others > 0) terminal.say(`reviewed photos that ${model.id} had not judged, left out: ${others}\n`);
  return samples;
}
