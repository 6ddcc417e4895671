import { existsSync, realpathSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { readConfig } from "../config.ts";
import { decide, hundredths } from "../decide/decide.ts";
import { asError, ConfigError, codeOf, ModerationError } from "../errors.ts";
import { isInside, walk } from "../image/folder.ts";
import type { Peak } from "../image/peak.ts";
import type { Scores } from "../photo.ts";
import { pad } from "./columns.ts";
import { defineCommand, EXIT, flags, texts, UsageError } from "./command.ts";
import { createExplainer, type Explainer } from "./explain.ts";
import { type FileJudge, openFileJudge } from "./file-judge.ts";
import { fourDigits, type JudgedJson, judgedJson } from "./judged-json.ts";
import { printResult } from "./output.ts";
import { tryOutputFolder } from "./output-folder.ts";
import { counted } from "./plural.ts";
import { drawStatus, printable } from "./terminal.ts";

/** One line of `--json`; with --explain also where a human is most likely, and the picture that shows it. */
type Line =
  | ({ path: string; where?: Peak; picture?: string } & JudgedJson)
  | { path: string; error: { code: string; message: string } };

export const classify = defineCommand({
  help: `
usage: maitred classify [--json] [--explain FOLDER] PATH...

Decodes, batches, infers and decides as a worker does, and prints a line for each file, in the order given. Folders
are walked; every regular file in them counts, whatever its name, but for names that begin with a dot. Links are
followed to files, but not to folders. A file that cannot be judged, also a link to nothing, gets a line with its
error, and the rest goes on. Scores have two digits, cut and not rounded, so that one just below a threshold never reads as
if it reached it; in a reason they have as many as the threshold there, and with --json four.

  --explain FOLDER   writes a small JPEG of each photo there that shows where the model sees a human: clear where it sees
                     none, yellow to red where it does, a ring around the peak, and the photo's score; no ring where
                     the map stays below 0.5 there, which is no clear place, or nobody seen where the score is below
                     the policy's human.review. Its name is the photo's and a hash of the photo's path, so that the
                     same photo has the same picture each time
  --json             one object a line

  maitred classify dinner.jpg ./photos
  maitred classify --json ./photos | jq 'select(.verdict == "hidden") | .path'
  maitred classify --explain ./explained ./photos

Exit codes: 0 every file was judged, 1 some were not, 2 there is none.
`,
  words: true,
  options: { ...texts("explain"), ...flags("json") },

  async run({ values: { explain: out, json }, positionals }, terminal) {
    if (positionals.length === 0) throw new UsageError("expected at least one file or folder");
    const url = positionals.find((path) => /^\w+:\/\//.test(path));
    if (url !== undefined) {
      throw new UsageError(`classify reads files, got ${url}; for S3: maitred enqueue s3://bucket/key`);
    }
    if (out !== undefined) refuseMixing(out, positionals);
    const config = readConfig(terminal.env);
    const judge = await openFileJudge(config, undefined, { explain: out !== undefined });
    const explainer = out === undefined ? undefined : createExplainer(config, judge, out);
    const { provider, instead } = judge.ready;
    if (instead) terminal.say(`CUDA does not run here: ${instead}\n`);
    const since = performance.now();
    let judged = 0;
    let failed = 0;
    try {
      for await (const line of inOrder(files(positionals), lineFor(judge, explainer), judge.width)) {
        printResult(terminal, json, line, columns(line));
        if ("error" in line) failed++;
        else judged++;
        drawStatus(terminal, `${judged + failed} files`);
      }
    } finally {
      await judge.close();
      await explainer?.close();
    }
    if (judged + failed === 0) throw new UsageError(`no photos in ${positionals.join(", ")}`);
    const seconds = (performance.now() - since) / 1000;
    if (!json) {
      const speed = judged > 0 ? `${(judged / seconds).toFixed(1)} photos/s ` : "";
      terminal.say(`${judged} judged, ${failed} not, ${speed}on ${provider}\n`);
      if (out !== undefined && judged > 0) terminal.say(`${counted(judged, "picture")} in ${out}\n`);
    }
    return failed === 0 ? EXIT.done : EXIT.notAll;
  },
});

/** Pictures among photos would be judged as photos the next time. */
function refuseMixing(out: string, paths: readonly string[]): void {
  const folder = tryOutputFolder("--explain", out);
  for (const path of paths) {
    const given = existsSync(path) ? realpathSync(path) : resolve(path);
    if (given === folder || isInside(given, folder) || isInside(folder, given)) {
      throw new UsageError(`--explain: expected a folder apart from the photos, got ${out} for ${path}`);
    }
  }
}

function lineFor(judge: FileJudge, explainer: Explainer | undefined): (path: string) => Promise<Line> {
  return async (path) => {
    try {
      if (!explainer) return judgedLine(path, await judge.scores(path), judge);
      const { scores, where, picture } = await explainer.explain(path);
      const peak = { x: fourDigits(where.x), y: fourDigits(where.y), score: fourDigits(where.score) };
      return { ...judgedLine(path, scores, judge), where: peak, picture };
    } catch (thrown) {
      // a picture that cannot be written is no fault of the photo
      if (!(thrown instanceof ModerationError) || thrown instanceof ConfigError) throw thrown;
      return { path, error: { code: codeOf(thrown), message: asError(thrown).message } };
    }
  };
}

function judgedLine(path: string, scores: Scores, { model, policy, policyId }: FileJudge) {
  const by = { model: model.id, policy: policyId };
  return { path, ...judgedJson(scores, decide(scores, policy), by) };
}

/** The files that the arguments name. What does not exist is passed on, to get its error like any other. */
async function* files(paths: readonly string[]): AsyncGenerator<string> {
  for (const path of paths) {
    const isFolder = await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isFolder) yield* walk(path);
    else yield path;
  }
}

/** Works on at most `width` items at once, and gives the results in the order of the items. */
async function* inOrder<In, Out>(
  items: AsyncIterable<In>,
  work: (item: In) => Promise<Out>,
  width: number,
): AsyncGenerator<Out> {
  const pending: Promise<Out>[] = [];
  for await (const item of items) {
    const result = work(item);
    // a failure is thrown where its result is taken, not before
    result.catch(() => {});
    pending.push(result);
    if (pending.length >= width) yield await pending.shift()!;
  }
  while (pending.length > 0) yield await pending.shift()!;
}

/** A line whose columns stand below those of others, which are not known yet. */
function columns(line: Line): string {
  const cells =
    "error" in line
      ? ["failed", "", "", line.path, `${line.error.code}: ${line.error.message}`]
      : [
          line.verdict,
          `${line.category} ${hundredths(line.scores[line.category]!)}`,
          `human ${hundredths(line.human)}`,
          line.path,
          line.reason,
        ];
  const widths = [6, 13, 10, 40];
  return cells
    .map((cell, column) => pad(printable(cell), widths[column] ?? 0))
    .join("  ")
    .trimEnd();
}
