import { createReadStream, existsSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { z } from "zod";
import { asError, ConfigError } from "../errors.ts";
import { linesOf } from "../lines.ts";
import { withoutCopies } from "./copies.ts";
import { random } from "./statistics.ts";

/** What a person said of one photo; null where nobody said. */
export interface Label {
  /** As the set names it, with forward slashes. */
  file: string;
  /** Absolute. */
  path: string;
  category: string | null;
  human: boolean | null;
  /** Hands alone are visible, which count as neither human nor human-free. */
  hands: boolean;
  /** Every human is small. */
  small: boolean;
  /** What it is more closely: statue, menu-scan ... */
  kind: string | null;
  /** Where it comes from. Photos of one source are alike. */
  source: string | null;
}

export interface LabelledSet {
  labels: Label[];
  /** One for each line that is no label, or of a photo that has one, and each link to nothing: where it is, and what was expected. */
  problems: string[];
  /** One for each photo that is left out because another of the same bytes says it already. */
  copies: string[];
}

type Read = Omit<LabelledSet, "copies">;

/**
 * Reads a labelled set: a `labels.jsonl` (training/README.md describes its fields), a folder that holds one, or a
 * folder whose sub-folders say it: one for each category, and `human/` or `nohuman/` anywhere on the way. What lies in
 * no such sub-folder, or has a name that begins with a dot, is not part of the set. Links are followed.
 *
 * @param categories what the model knows: any other category is a mistake.
 * @throws {ConfigError} when nothing in it is a label.
 */
export async function readLabelledSet(path: string, categories: readonly string[]): Promise<LabelledSet> {
  const isFolder = requireThere(path).isDirectory();
  const file = isFolder ? join(path, "labels.jsonl") : path;
  const set =
    isFolder && !statSync(file, { throwIfNoEntry: false })
      ? fromFolders(resolve(path), categories)
      : await fromLines(resolve(file), categories);
  if (set.labels.length > 0) return { ...set, ...(await withoutCopies(set.labels)) };
  if (set.problems.length > 0) throw new ConfigError(someOf(set.problems).join("\n"));
  throw new ConfigError(`${path}: it has no labelled photos: ${expected(categories)}`);
}

/**
 * As `readLabelledSet`, for whoever must not go on with a part of it. Copies are no mistake: a set that was exported has the same picture
 * of two listings.
 *
 * @throws {ConfigError} with the lines that are wrong, or when the set is empty.
 */
export async function readLabelled(path: string, categories: readonly string[]): Promise<Label[]> {
  const { labels, problems } = await readLabelledSet(path, categories);
  if (problems.length > 0) throw new ConfigError(someOf(problems).join("\n"));
  return labels;
}

/** @throws {ConfigError} where there is no such set: for whoever has more to do before it is read. */
export function requireThere(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    const { code, message } = asError(cause) as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file or folder" : message;
    throw new ConfigError(`${path}: ${why}`, { cause });
  }
}

export function someOf(lines: readonly string[]): string[] {
  const more = lines.length > SHOWN ? [`and ${lines.length - SHOWN} more`] : [];
  return [...lines.slice(0, SHOWN), ...more];
}

/** At most `limit` labels, each once, spread evenly over the whole set (which is sorted), in its order; the same each time. */
export function sample(labels: readonly Label[], limit: number): Label[] {
  if (labels.length <= limit) return [...labels];
  const next = random(1);
  const start = (index: number): number => Math.floor((index * labels.length) / limit);
  return Array.from({ length: limit }, (_, index) => {
    const [from, to] = [start(index), start(index + 1)];
    return labels[from + Math.floor(next() * (to - from))]!;
  });
}

async function fromLines(file: string, categories: readonly string[]): Promise<Read> {
  const problems: string[] = [];
  const labels: Label[] = [];
  const lineOf = new Map<string, number>();
  const line = lineSchema(categories);
  for await (const [number, text, isText] of linesOf(createReadStream(file), file)) {
    if (!isText) {
      problems.push(`${file}:${number}: expected UTF-8`);
      continue;
    }
    const result = line.safeParse(parsed(text));
    if (result.success) {
      const label = asLabel(result.data, dirname(file));
      const before = lineOf.get(label.path);
      if (before !== undefined)
        problems.push(`${file}:${number}: ${label.file} is on line ${before} already, which counts`);
      else {
        lineOf.set(label.path, number);
        labels.push(label);
      }
    } else {
      const issues = result.error.issues.map(({ path, message }) => [...path, message].join(": "));
      problems.push(`${file}:${number}: ${issues.join("; ")}`);
    }
  }
  return { labels, problems };
}

function lineSchema(categories: readonly string[]) {
  const flag = z.boolean().nullish();
  return z.looseObject(
    {
      file: z.string("expected a path below the folder").min(1),
      category: z.enum(categories, `expected one of ${categories.join(", ")}, or null`).nullish(),
      human: z.boolean("expected true, false or null").nullish(),
      hands: flag,
      small: flag,
      kind: z.string().nullish(),
      source: z.string().nullish(),
    },
    "expected a JSON object",
  );
}

function asLabel(line: z.infer<ReturnType<typeof lineSchema>>, folder: string): Label {
  return {
    file: line.file,
    path: resolve(folder, line.file),
    category: line.category ?? null,
    human: line.human ?? null,
    hands: line.hands ?? false,
    small: line.small ?? false,
    kind: line.kind ?? null,
    source: line.source ?? null,
  };
}

function fromFolders(root: string, categories: readonly string[]): Read {
  const problems: string[] = [];
  const labels: Label[] = [];
  const known = new Map([...categories, ...Object.keys(HUMAN)].map((name) => [name.toLowerCase(), name]));
  for (const { path, isThere } of filesBelow(root)) {
    const file = relative(root, path).split(sep).join("/");
    // a link to nothing may have stood for a whole category, as where a disk is not mounted
    const folders = file.split("/").slice(0, isThere ? -1 : undefined);
    // Food/ is food/
    const parts = folders.map((part) => known.get(part.toLowerCase()) ?? part);
    const found = parts.filter((part) => categories.includes(part));
    const humans = parts.filter((part) => Object.hasOwn(HUMAN, part));
    if (found.length > 1 || humans.length > 1)
      throw new ConfigError(`${path}: its folders say two things: ${[...found, ...humans].join(", ")}`);
    if (found.length + humans.length === 0) continue;
    if (!isThere) {
      problems.push(`${path}: expected a photo or a folder, got a link to nothing`);
      continue;
    }
    const none = { hands: false, small: false, kind: null, source: null };
    labels.push({ file, path, category: found[0] ?? null, human: HUMAN[humans[0] ?? ""] ?? null, ...none });
  }
  return { labels: labels.sort((a, b) => (a.file < b.file ? -1 : 1)), problems };
}

/**
 * Files, and links to nothing.
 *
 * @param above folders that it lies in, by their real paths: a link may lead back to one.
 */
function* filesBelow(
  folder: string,
  above: readonly string[] = [],
): Generator<{ path: string; isThere: boolean }> {
  const inside = realpathSync(folder);
  if (above.includes(inside)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    const isLink = entry.isSymbolicLink();
    if (isLink && !existsSync(path)) yield { path, isThere: false };
    else if (isLink ? statSync(path).isDirectory() : entry.isDirectory())
      yield* filesBelow(path, [...above, inside]);
    else yield { path, isThere: true };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function expected(categories: readonly string[]): string {
  return `expected a labels.jsonl, or sub-folders ${[...categories, "human", "nohuman"].map((name) => `${name}/`).join(", ")}`;
}

const HUMAN: Record<string, boolean> = { human: true, nohuman: false };

/** Wrong lines that a message names. */
const SHOWN = 10;
