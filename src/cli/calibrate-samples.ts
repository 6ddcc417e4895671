import type { Config } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { Sample } from "../evaluate/calibrate.ts";
import type { Stratum } from "../evaluate/effect.ts";
import { type Label, readLabelledSet, someOf } from "../evaluate/labelled.ts";
import type { Model } from "../infer/model.ts";
import { labelOf } from "../label.ts";
import { countDecided } from "../store/counts.ts";
import { reviewedPhotos } from "../store/labels.ts";
import type { Pool } from "../store/pool.ts";
import { rollupState } from "../store/rollups.ts";
import { createCounter, judgeLabels, openFileJudge } from "./file-judge.ts";
import { withPostgres } from "./postgres.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Judges the photos of a labelled set; what is left out is said. */
export async function samplesFromLabels(
  config: Config,
  model: Model,
  path: string,
  terminal: Terminal,
): Promise<Sample[]> {
  const { labels, problems: wrong, copies } = await readLabelledSet(path, model.categories);
  const problems = [...wrong, ...copies];
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
 * last are left out, because thresholds are of one model's scores, and so are copies of what a moderator hid.
 *
 * Moderators see all that the model sent to review, and of what it showed or hid the audits, drawn at random. With `audit`
 * each of these is weighed by how many photos with that verdict it stands for, on each question among those that answer it,
 * and what they saw for another reason is left out.
 *
 * @throws {ConfigError} where it gave a verdict of which they saw no photo so.
 */
export async function samplesFromVerdicts(
  config: Config,
  model: Model,
  { audit, since }: { audit: boolean; since: Date },
  terminal: Terminal,
): Promise<{ samples: Sample[]; strata: Stratum[] }> {
  const samples: Sample[] = [];
  let strata: Stratum[] = [];
  const reviewed = new Map<string, number>();
  let others = 0;
  await withPostgres(config, async (db) => {
    // what was judged since then may be reviewed later, and is weighed by how much was judged
    const filter = audit ? { since: new Date(0), judgedSince: since } : { since };
    for await (const page of reviewedPhotos(db, filter)) {
      for (const photo of page) {
        const said = photo.model;
        // no policy shows it, whatever its scores are
        if (said?.rule === "hidden-copy") continue;
        if (said?.by === `model:${model.id}`)
          reviewed.set(said.verdict, (reviewed.get(said.verdict) ?? 0) + 1);
        const known = labelOf(photo);
        if (!known) continue;
        if (said?.by !== `model:${model.id}`) {
          others++;
          continue;
        }
        if (audit && (said.verdict === "review") === (photo.origin === "audit")) continue;
        const { category, human, source } = known;
        const none = { hands: false, small: false, kind: null };
        const path = `${photo.bucket}/${photo.key}`;
        const label: Label = { file: photo.key, path, category, human, source, ...none };
        // Postgres writes a real in as few digits as tell it from others: this is the number that the model gave
        const scores = { categories: said.scores, human: Math.fround(said.human) };
        samples.push({ label, scores, stratum: said.verdict });
      }
    }
    if (audit) strata = await weigh(db, model.id, samples, reviewed, since);
  });
  if (others > 0) terminal.say(`reviewed photos that ${model.id} had not judged, left out: ${others}\n`);
  return { samples, strata };
}

async function weigh(
  db: Pool,
  id: string,
  samples: Sample[],
  reviewed: ReadonlyMap<string, number>,
  since: Date,
): Promise<Stratum[]> {
  if (!(await rollupState(db)).built) {
    throw new ConfigError("--audit: the counts of verdicts are not complete: run maitred rollups mend");
  }
  const standing = await countDecided(db, `model:${id}`, since);
  const verdicts = [...new Set([...standing.keys(), ...reviewed.keys()])].sort();
  return verdicts.map((verdict) => {
    const photos = (standing.get(verdict) ?? 0) + (reviewed.get(verdict) ?? 0);
    const of = samples.filter(({ stratum }) => stratum === verdict);
    // who answers one question need not answer the other
    const onHumans = of.filter(({ label }) => label.human !== null);
    const onCategory = of.filter(({ label }) => label.category !== null);
    // hidden photos are few, and those that are not counted have no part in what is shown
    if (onHumans.length === 0 && verdict !== "hidden") {
      const what = verdict === "review" ? "sent to review" : verdict;
      throw new ConfigError(
        `--audit: of ${photos} photos that ${id} has ${what}, moderators said of none drawn at random whether it shows a human: have some audited first (docs/desk.md), or calibrate on labelled photos`,
      );
    }
    for (const sample of onHumans) sample.weight = photos / onHumans.length;
    for (const sample of onCategory) sample.categoryWeight = photos / onCategory.length;
    return { verdict, reviewed: onHumans.length, photos };
  });
}
