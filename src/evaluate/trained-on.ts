import { createHash } from "node:crypto";
import { z } from "zod";
import type { Label } from "./labelled.ts";

/** A model that knows photos of a labelled set, or others of the same sources: figures of them mean little. */
export interface TrainedOn {
  model: string;
  /** Of the set, those that it was trained on, and their photos; null: model.json does not say which it was trained on. */
  sources: number | null;
  photos: number | null;
}

/** The models that were trained on sources of these photos, and those whose model.json does not say which they were. */
export function trainedOn(
  models: readonly { id: string; trainedFrom: unknown }[],
  labels: readonly Label[],
): TrainedOn[] {
  // two variants of one model are one
  const byId = new Map(models.map(({ id, trainedFrom }) => [id, trainedFrom]));
  return [...byId].flatMap(([id, trainedFrom]): TrainedOn[] => {
    const hashes = new Set(hashesOf(trainedFrom));
    const known = labels.flatMap(({ source }) => (source && hashes.has(hashOf(source)) ? [source] : []));
    if (known.length > 0) return [{ model: id, sources: new Set(known).size, photos: known.length }];
    return saysAll(trainedFrom) ? [] : [{ model: id, sources: null, photos: null }];
  });
}

export function saidOf({ model, sources, photos }: TrainedOn): string {
  if (sources === null)
    return `${model} does not say which sources it was trained on: whether photos of this set are among them cannot be told`;
  return `warning: ${model} was trained on sources of this set, and knows them: ${sources}, with ${photos} of its photos; maitred labels export --held-out writes what training left out`;
}

/** Also of what the weights had learnt that it began with. */
function hashesOf(trainedFrom: unknown): string[] {
  const { data } = schema.safeParse(trainedFrom);
  return data ? [...data.sourceHashes, ...hashesOf(data.begunWith?.trainedFrom)] : [];
}

/** Whether it says what it was trained on, and so do the weights that it began with: of very many sources training writes none. */
function saysAll(trainedFrom: unknown): boolean {
  const { data } = schema.safeParse(trainedFrom);
  if (!data || data.sourceHashes.length === 0) return false;
  // those of ImageNet were trained on nobody's
  return data.begunWith?.trainedFrom === undefined || saysAll(data.begunWith.trainedFrom);
}

/** As training/export.py makes it. */
function hashOf(source: string): string {
  return createHash("sha256").update(source).digest("hex").slice(0, 8);
}

const schema = z.looseObject({
  sourceHashes: z.array(z.string()).default([]),
  begunWith: z.looseObject({ trainedFrom: z.unknown().optional() }).optional(),
});
