import type { Scores } from "../photo.ts";

/**
 * The scores of a photo from those of its frames, or other views of it, in their order. A human in one frame is a human in
 * the photo. The categories are those of the first frame: it is what a still preview shows, and the mean would be of no frame.
 */
export function combineFrames(frames: readonly Scores[]): Scores {
  return { categories: frames[0]!.categories, human: Math.max(...frames.map(({ human }) => human)) };
}

/** What was said of the frame that most likely shows a human, which frame it is, and the scores of the photo. */
export function frameWithTopHuman<Said extends { scores: Scores }>(
  frames: readonly Said[],
): Said & { frame: number } {
  const scores = combineFrames(frames.map((said) => said.scores));
  // -1 where a score is no number
  const frame = Math.max(
    0,
    frames.findIndex((said) => said.scores.human === scores.human),
  );
  return { ...frames[frame]!, scores, frame };
}

/** Judges photos, each of one or more frames, in runs of at most `size` frames. */
export async function runFrames(
  photos: readonly (readonly Uint8Array[])[],
  run: (frames: readonly Uint8Array[]) => Promise<Scores[]>,
  size: number,
): Promise<Scores[]> {
  const frames = photos.flat();
  const scores: Scores[] = [];
  for (let at = 0; at < frames.length; at += size) scores.push(...(await run(frames.slice(at, at + size))));
  return photos.map(({ length }) => combineFrames(scores.splice(0, length)));
}
