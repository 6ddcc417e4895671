import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constantGraph } from "./onnx.ts";

export const CATEGORIES = ["food", "ambience", "menu", "other"];

interface Made {
  side?: number;
  /** What it says of every photo. */
  says?: string;
  human?: number;
  categories?: string[];
  variants?: Record<string, string>;
  measured?: Record<string, unknown>;
  trainedFrom?: Record<string, unknown>;
  /** By file name; without it, one `model.onnx` that says what the fields above do. */
  files?: Record<string, Buffer>;
}

/** Writes a model folder whose hashes are right, and answers its path. */
export function makeModel(directory: string, id: string, made: Made = {}): string {
  const { side = 64, categories = CATEGORIES, variants, measured, trainedFrom } = made;
  const files = made.files ?? { "model.onnx": graphThatSays(made) };
  const folder = join(directory, id);
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const [name, version] = id.split(/-(?=[^-]+$)/);
  const hashes = Object.entries(files).map(([file, content]) => {
    return [file, { sha256: createHash("sha256").update(content).digest("hex") }];
  });
  const about = {
    name,
    version,
    files: Object.fromEntries(hashes),
    input: { side, fit: "squash" },
    categories,
  };
  const more = {
    ...(variants && { variants }),
    ...(measured && { measured }),
    ...(trainedFrom && { trainedFrom }),
  };
  writeFileSync(join(folder, "model.json"), JSON.stringify({ ...about, ...more }));
  return folder;
}

export function graphThatSays({
  side = 64,
  says = "food",
  human = 0.01,
  categories = CATEGORIES,
}: Made): Buffer {
  const rest = 0.02 / (categories.length - 1);
  return constantGraph(
    side,
    categories.map((name) => (name === says ? 0.98 : rest)),
    human,
  );
}
