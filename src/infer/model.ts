import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { ConfigError, whyUnread } from "../errors.ts";

export type Provider = "cpu" | "cuda";

const schema = z.looseObject({
  name: z.string().min(1),
  version: z.string().min(1),
  files: z.record(z.string(), z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
  variants: z.strictObject({ cpu: z.string().optional(), cuda: z.string().optional() }).default({}),
  input: z.looseObject({ side: z.number().int().min(32).max(1024), fit: z.literal("squash") }),
  categories: z.array(z.string().min(1)).min(2),
});

/** One of a model's graphs. All of a model take the same photos and give the same outputs. */
export interface Graph {
  /** `int8` for model.int8.onnx, `fp32` for model.onnx. */
  variant: string;
  /** Absolute path. */
  file: string;
  sha256: string;
}

/** A model folder whose files are what its model.json says. */
export interface Model {
  /** `name-version`: what verdicts are signed with. */
  id: string;
  folder: string;
  /** Of model.json, and so of everything that it names. */
  sha256: string;
  graphs: Record<Provider, Graph>;
  /** Every graph of the folder. */
  variants: readonly Graph[];
  /** Of all its graphs together. */
  bytes: number;
  /** Pixels, both edges of the input. */
  side: number;
  /** In the order of the `category` output. */
  categories: readonly string[];
  /** What model.json says of its quality; shown, not used. */
  measured: unknown;
  /** And of what it was trained on. */
  trainedFrom: unknown;
}

/**
 * Opens a model folder; see the model contract in docs/model.md.
 *
 * @param variant the graph to run on every provider, such as `int8`; auto: as model.json says.
 * @throws {ConfigError} when model.json is missing or wrong, a file's hash differs, or the model has
 * no such variant.
 */
export async function openModel(folder: string, variant = "auto"): Promise<Model> {
  const path = join(folder, "model.json");
  const invalid = (message: string, cause?: unknown): ConfigError =>
    new ConfigError(message, cause === undefined ? {} : { cause });
  let text: string;
  let raw: unknown;
  try {
    text = readFileSync(path, "utf8");
    raw = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${path}: ${whyUnread(cause)}; set MAITRED_MODEL to a model folder`, cause);
  }
  const result = schema.safeParse(raw);
  if (!result.success) {
    throw invalid(
      result.error.issues.map((issue) => `${path}: ${issue.path.join(".")}: ${issue.message}`).join("\n"),
    );
  }
  const { name, version, files, variants, input, categories } = result.data;
  const chosen = { cpu: variants.cpu ?? GRAPH, cuda: variants.cuda ?? GRAPH };
  for (const file of Object.values(chosen)) {
    if (!files[file]) throw invalid(`${path}: files: expected ${file}`);
  }
  for (const [file, { sha256 }] of Object.entries(files)) {
    if (!file.endsWith(".onnx"))
      throw invalid(`${path}: files: expected graphs, got ${file}: weights must be in the graph itself`);
    const at = join(folder, file);
    const found = await hashOf(at);
    if (found !== sha256)
      throw invalid(`${at}: expected sha256 ${sha256}, got ${found}: fetch the model again`);
  }
  const graphs = Object.entries(files).map(([file, { sha256 }]) => ({
    variant: variantOf(file),
    file: join(folder, file),
    sha256,
  }));
  const graphFor = (provider: Provider): Graph => {
    const wanted = variant === "auto" ? variantOf(chosen[provider]) : variant;
    const graph = graphs.find((each) => each.variant === wanted);
    if (graph) return graph;
    const known = graphs.map((each) => each.variant).join(", ");
    throw invalid(
      `${name}-${version} has no variant ${variant}, only ${known}: mend MAITRED_VARIANT, --variant or --compare-variant`,
    );
  };
  return {
    id: `${name}-${version}`,
    folder,
    sha256: createHash("sha256").update(text).digest("hex"),
    graphs: { cpu: graphFor("cpu"), cuda: graphFor("cuda") },
    variants: graphs,
    bytes: graphs.reduce((sum, { file }) => sum + statSync(file).size, 0),
    side: input.side,
    categories,
    measured: result.data["measured"] ?? null,
    trainedFrom: result.data["trainedFrom"] ?? null,
  };
}

function variantOf(file: string): string {
  return file === GRAPH ? "fp32" : basename(file, ".onnx").replace(/^model\./, "");
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(file), hash);
  } catch (cause) {
    throw new ConfigError(`${file}: ${(cause as Error).message}`, { cause });
  }
  return hash.digest("hex");
}

const GRAPH = "model.onnx";
