import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { ConfigError } from "../errors.ts";

const schema = z.looseObject({
  name: z.string().min(1),
  version: z.string().min(1),
  files: z.record(z.string(), z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
  input: z.looseObject({ side: z.number().int().min(32).max(1024), fit: z.literal("squash") }),
  categories: z.array(z.string().min(1)).min(2),
});

/** A model folder whose files are what its model.json says. */
export interface Model {
  /** `name-version`: what verdicts are signed with. */
  id: string;
  folder: string;
  /** Absolute path of the graph. */
  file: string;
  /** Pixels, both edges of the input. */
  side: number;
  /** In the order of the `category` output. */
  categories: readonly string[];
}

/**
 * Opens a model folder; see the model contract in docs/model.md.
 *
 * @throws {ConfigError} MODEL_INVALID when model.json is missing or wrong, or a file's hash differs.
 */
export async function openModel(folder: string): Promise<Model> {
  const path = join(folder, "model.json");
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new ConfigError(
      "MODEL_INVALID",
      `${path}: ${(cause as Error).message}; set MAITRED_MODEL to a model folder`,
      {
        cause,
      },
    );
  }
  const result = schema.safeParse(raw);
  if (!result.success) {
    const lines = result.error.issues.map((issue) => `${path}: ${issue.path.join(".")}: ${issue.message}`);
    throw new ConfigError("MODEL_INVALID", lines.join("\n"));
  }
  const { name, version, files, input, categories } = result.data;
  if (!files[GRAPH]) throw new ConfigError("MODEL_INVALID", `${path}: files: expected ${GRAPH}`);
  for (const [file, { sha256 }] of Object.entries(files)) {
    const found = await hashOf(join(folder, file));
    if (found === sha256) continue;
    throw new ConfigError(
      "MODEL_INVALID",
      `${file}: expected sha256 ${sha256}, got ${found}: fetch the model again`,
    );
  }
  return { id: `${name}-${version}`, folder, file: join(folder, GRAPH), side: input.side, categories };
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(file), hash);
  } catch (cause) {
    throw new ConfigError("MODEL_INVALID", `${file}: ${(cause as Error).message}`, { cause });
  }
  return hash.digest("hex");
}

const GRAPH = "model.onnx";
