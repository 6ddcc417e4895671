import { createHash } from "node:crypto";
import { z } from "zod";
import type { Label } from "./labelled.ts";

/** A model that knows photos of a labelled set, or others of the same sources: figures of them mean little. */
export interface TrainedOn {
  model: string;
  /** Of the set, those that it was trained on, and their photos. */
  sources: number;
  photos: number;
}

/** The models that were trained on sources of these photos, as far as model.json says which they were. */
export function trainedOn(
  models: readonly { id: string; trainedFrom: unknown }[],
  labels: readonly Label[],
): TrainedOn[] {
  // two variants of one model are one
  const byId = new Map(models.map(({ id, trainedFrom }) => [id, trainedFrom]));
  return [...byId].flatMap(([id, trainedFrom]) => {
    const hashes = new Set(hashesOf(trainedFrom));
    const known = labels.flatMap(({ source }) => (source && hashes.has(hashOf(source)) ? [source] : []));
    return known.length > 0 ? [{ model: id, sources: new Set(known).size, photos: known.length }] : [];
  });
}

export function saidOf({ model, sources, photos }: TrainedOn): string {
  return `warning: ${model} was trained on sources of this set, and knows them: ${sources}, with ${photos} of its photos; maitred labels export --held-out writes what training left out`;
}

/** Also of what the weights had learnt that it began with. */
function hashesOf(trainedFrom: unknown): string[] {
  const { data } = schema.safeParse(trainedFrom);
  return data ? [...data.sourceHashes, ...hashesOf(data.begunWith?.trainedFrom)] : [];
}

/** As training/export.py makes it. */
function hashOf(source: string): string {
  return createHash("sha256").update(source).digest("hex").slice(0, 8);
}

const schema = z.looseObject({
  sourceHashes: z.array(z.string()).default([]),
  begunWith: z.looseObject({ trainedFrom: z.unknown() }).optional(),
});
