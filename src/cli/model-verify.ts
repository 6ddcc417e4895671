import { createReadStream, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Config, readConfig } from "../config.ts";
import { ModerationError } from "../errors.ts";
import { readPhoto, walk } from "../image/folder.ts";
import type { Model } from "../infer/model.ts";
import { linesOf } from "../lines.ts";
import type { Scores } from "../photo.ts";
import { openJudge } from "../wiring/judge.ts";
import { openNamed } from "./choose-model.ts";
import { EXIT, UsageError } from "./command.ts";
import type { ModelCommand } from "./model-command.ts";
import { between, numberOption } from "./options.ts";
import { printResult, table } from "./output.ts";

interface Checked {
  model: string;
  variant: string;
  provider: string;
  /** Why it does not run on CUDA; "" if it does or need not. */
  instead: string;
  msPerPhoto: number;
  /** Of all scores of all photos, from those of the first variant, 0 to 1. */
  meanDifference: number;
  maxDifference: number;
  agrees: boolean;
}

export const verify: ModelCommand = async ({ values, positionals }, terminal) => {
  if (positionals.length === 0) throw new UsageError("expected the id or the folder of a model");
  const config = readConfig(terminal.env);
  const tolerance = numberOption(values, "tolerance", between(0, 1)) ?? 0.02;
  const { photos } = values;
  if (photos !== undefined && !existsSync(photos)) throw new UsageError(`--photos: there is no ${photos}`);
  const checked: Checked[] = [];
  for (const name of positionals) {
    const model = await openNamed(config, name, "auto");
    let first: Scores[] | undefined;
    // the plain one is what the others were made from
    const variants = model.variants.toSorted(
      (a, b) => Number(b.variant === "fp32") - Number(a.variant === "fp32"),
    );
    for (const { variant } of variants) {
      const one = await check(config, await openNamed(config, name, variant), photos);
      first ??= one.scores;
      const differences = first.flatMap((scores, index) => apart(scores, one.scores[index]!));
      const meanDifference = differences.reduce((sum, each) => sum + each, 0) / differences.length;
      const { provider, instead, msPerPhoto } = one;
      checked.push({
        model: model.id,
        variant,
        provider,
        instead,
        msPerPhoto,
        meanDifference,
        maxDifference: Math.max(...differences),
        // also false for what is no number
        agrees: meanDifference <= tolerance,
      });
    }
  }
  printResult(terminal, values.json, checked, printed(checked));
  return checked.every(({ agrees }) => agrees) ? EXIT.done : EXIT.notAll;
};

async function check(
  config: Config,
  model: Model,
  folder: string | undefined,
): Promise<{ provider: string; instead: string; msPerPhoto: number; scores: Scores[] }> {
  const judge = await openJudge(config, model);
  try {
    const { provider, instead } = await judge.inference.ready();
    const pixels = folder === undefined ? patterns(model.side) : await decoded(folder, config, judge.decode);
    const size = judge.inference.maxBatch;
    const scores: Scores[] = [];
    let ms = 0;
    for (let at = 0; at < pixels.length; at += size) {
      const since = performance.now();
      scores.push(...(await judge.inference.run(pixels.slice(at, at + size))));
      ms += performance.now() - since;
    }
    return {
      provider,
      instead: config.provider === "cpu" ? "" : instead,
      msPerPhoto: ms / pixels.length,
      scores,
    };
  } finally {
    await judge.close();
  }
}

async function decoded(
  folder: string,
  config: Config,
  decode: (bytes: Uint8Array, turn: <T>(work: () => Promise<T>) => Promise<T>) => Promise<Uint8Array[]>,
): Promise<Uint8Array[]> {
  for (const paths of [named(folder), walk(folder)]) {
    const pixels: Uint8Array[] = [];
    for await (const path of paths) {
      try {
        pixels.push(...(await decode(await readPhoto(path, config.maxBytes), (work) => work())));
      } catch (thrown) {
        // perhaps a photo that is broken, or what is none
        if (!(thrown instanceof ModerationError) || thrown.retry) throw thrown;
      }
      if (pixels.length >= SAMPLES) break;
    }
    if (pixels.length > 0) return pixels;
  }
  throw new UsageError(`--photos: there is no photo in ${folder}`);
}

/** What is there of the files that a labels.jsonl names, which may lie behind links to folders, or elsewhere. */
async function* named(folder: string): AsyncGenerator<string> {
  const labels = join(folder, "labels.jsonl");
  if (!existsSync(labels)) return;
  for await (const [, line] of linesOf(createReadStream(labels), labels)) {
    const path = resolve(folder, fileOf(line));
    if (existsSync(path)) yield path;
  }
}

/** Nothing else of a line is read, which may be for another model, or another tool's; "" if it names none. */
function fileOf(line: string): string {
  try {
    const { file } = JSON.parse(line);
    return typeof file === "string" ? file : "";
  } catch {
    return "";
  }
}

/** Soft gradients with discs on them, each in colours of its own: the same ones every time. */
function patterns(side: number): Uint8Array[] {
  return Array.from({ length: SAMPLES }, (_, n) => {
    const pixels = new Uint8Array(side * side * 3);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [u, v] = [x / side, y / side];
        const inside = (u - 0.3 - (n % 5) / 10) ** 2 + (v - 0.3 - (n % 3) / 6) ** 2 < 0.02 + (n % 7) / 100;
        for (let c = 0; c < 3; c++) {
          const wave = 0.5 + 0.5 * Math.sin((n % 4) * 3 * u + (c + 1) * v * (1 + (n % 6)) + n + c);
          pixels[(y * side + x) * 3 + c] = 255 * (inside ? 1 - wave : wave);
        }
      }
    }
    return pixels;
  });
}

function apart(one: Scores, other: Scores): number[] {
  const names = Object.keys(one.categories);
  return [
    Math.abs(one.human - other.human),
    ...names.map((name) => Math.abs(one.categories[name]! - (other.categories[name] ?? 0))),
  ];
}

function printed(checked: readonly Checked[]): string[] {
  const rows = checked.map((one) => [
    one.agrees ? "ok" : "FAIL",
    one.model,
    one.variant,
    one.provider,
    one.msPerPhoto.toFixed(1),
    one.meanDifference.toFixed(4),
    one.maxDifference.toFixed(4),
    one.instead,
  ]);
  return table([["", "model", "variant", "runs on", "ms/photo", "mean diff.", "max diff.", ""], ...rows]);
}

const SAMPLES = 32;
