/** Whether probabilities mean what they say: how far they are from what is true, and how far chance alone would put them. */
import { percent } from "./html.ts";
import { descending, type Proportion, random, type Scored, wilson } from "./statistics.ts";

export interface CalibrationBin {
  photos: number;
  /** What the model says, on average: 0..1. */
  score: number;
  /** What is true, with Wilson's interval. */
  share: Proportion;
}

export interface Reliability {
  /** How far scores and truth are apart, averaged over the photos: 0..1; null without photos. */
  expectedCalibrationError: number | null;
  /** Of 100 sets of as many photos, a model whose scores mean what they say would err by more than this on 5 only. */
  byChance: number | null;
  bins: CalibrationBin[];
}

export function reliabilityOf(photos: readonly Scored[]): Reliability {
  const bins = calibration(photos);
  return { expectedCalibrationError: errorOf(bins), byChance: errorByChance(photos, bins), bins };
}

/** Beside a calibration error, which is never 0 on few photos. */
export function wordsOfChance(byChance: number | null): string {
  return byChance === null ? "" : `up to ${percent(byChance)} is chance on so many photos`;
}

/**
 * Photos in the order of their scores, in at most fifteen bins that are as equally filled as photos of equal score allow: those
 * lie in one bin, so that the order of the set decides nothing.
 */
function calibration(photos: readonly Scored[]): CalibrationBin[] {
  const ascending = descending(photos)
    .reverse()
    .map((index) => photos[index]!);
  const made: CalibrationBin[] = [];
  let from = 0;
  for (let to = 1; to <= ascending.length; to++) {
    const isFull = to - from >= Math.round((ascending.length - from) / Math.max(1, 15 - made.length));
    if (to < ascending.length && (!isFull || ascending[to]!.score === ascending[to - 1]!.score)) continue;
    const inside = ascending.slice(from, to);
    const score = inside.reduce((sum, photo) => sum + photo.score, 0) / inside.length;
    const hits = inside.filter(({ positive }) => positive).length;
    made.push({ photos: inside.length, score, share: wilson(hits, inside.length) });
    from = to;
  }
  return made;
}

function errorOf(bins: readonly CalibrationBin[]): number | null {
  const photos = bins.reduce((sum, bin) => sum + bin.photos, 0);
  if (photos === 0) return null;
  const apart = bins.map((bin) => bin.photos * Math.abs(bin.score - (bin.share.value ?? 0)));
  return apart.reduce((sum, each) => sum + each, 0) / photos;
}

/** What is true is drawn from the scores themselves, photo by photo. */
function errorByChance(photos: readonly Scored[], bins: readonly CalibrationBin[]): number | null {
  if (photos.length === 0) return null;
  const ascending = descending(photos)
    .reverse()
    .map((index) => photos[index]!.score);
  const next = random(1);
  const errors = Array.from({ length: ROUNDS }, () => {
    let [at, apart] = [0, 0];
    for (const bin of bins) {
      let hits = 0;
      for (const end = at + bin.photos; at < end; at++) if (next() < ascending[at]!) hits++;
      apart += Math.abs(bin.photos * bin.score - hits);
    }
    return apart / photos.length;
  });
  return errors.sort((a, b) => a - b)[Math.ceil(0.95 * ROUNDS) - 1]!;
}

const ROUNDS = 200;
