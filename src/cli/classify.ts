import { stat } from "node:fs/promises";
import { openJudge } from "../../workers/judge.ts";
import { readConfig } from "../config.ts";
import { decide } from "../decide/decide.ts";
import { asError, codeOf, ModerationError } from "../errors.ts";
import { readPhoto, walk } from "../image/folder.ts";
import { createBatcher } from "../infer/batcher.ts";
import { createGate } from "../moderate/gate.ts";
import type { Scores } from "../photo.ts";
import { type Command, EXIT, type Terminal, table, UsageError } from "./command.ts";

/** One line of `--json`. */
type Line =
  | {
      path: string;
      category: string;
      scores: Record<string, number>;
      human: number;
      verdict: string;
      reason: string;
      model: string;
    }
  | { path: string; error: { code: string; message: string } };

export const classify: Command = {
  summary: "judge files and folders here and now: no queue, no database",
  help: `
usage: maitred classify [--json] PATH...

Decodes, batches, infers and decides as a worker does, and prints a line for each file, in the order given. Folders
are walked; every regular file in them counts, whatever its name. A file that cannot be judged gets a line with its
error, and the rest goes on.

  maitred classify dinner.jpg ./photos
  maitred classify --json ./photos | jq 'select(.verdict == "hidden") | .path'

Exit codes: 0 every file was judged, 1 some were not.
`,
  options: { json: { type: "boolean" } },

  async run({ values, positionals }, terminal) {
    if (positionals.length === 0) throw new UsageError("expected at least one file or folder");
    const config = readConfig(terminal.env);
    const judge = await openJudge(config);
    const { provider, instead } = await judge.inference.ready();
    if (instead && config.provider === "cuda") terminal.say(`CUDA does not run here: ${instead}\n`);
    const inference = createBatcher<Uint8Array, Scores>(judge.inference.run, {
      maxSize: judge.inference.maxBatch,
      maxWaitMs: config.maxWaitMs,
      workers: judge.inference.threads,
      maxRunning: Math.max(2, judge.inference.threads),
    });
    const gate = createGate(judge.decoders);

    async function judgeFile(path: string): Promise<Line> {
      try {
        const bytes = await readPhoto(path, config.maxBytes);
        const pixels = await judge.decode(bytes, (work) => gate("live", work));
        const scores = await inference.add(pixels, "live");
        const { category, verdict, reason } = decide(scores, judge.policy);
        const rounded = Object.entries(scores.categories).map(([name, score]) => [name, round(score)]);
        const known = {
          scores: Object.fromEntries(rounded) as Record<string, number>,
          human: round(scores.human),
        };
        return { path, category, ...known, verdict, reason, model: judge.model.id };
      } catch (thrown) {
        if (!(thrown instanceof ModerationError)) throw thrown;
        return { path, error: { code: codeOf(thrown), message: asError(thrown).message } };
      }
    }

    const print = values["json"] ? (line: Line) => terminal.print(JSON.stringify(line)) : printer(terminal);
    const since = performance.now();
    let judged = 0;
    let failed = 0;
    try {
      for await (const line of inOrder(files(positionals), judgeFile, 3 * judge.inference.maxBatch)) {
        print(line);
        if ("error" in line) failed++;
        else judged++;
        if (terminal.columns > 0) terminal.say(`\r${judged + failed} files\x1b[K\r`);
      }
    } finally {
      // a process that ends inside of a model run is aborted
      await inference.close();
      await judge.close();
    }
    const seconds = (performance.now() - since) / 1000;
    if (!values["json"]) {
      const rate = ((judged + failed) / seconds).toFixed(1);
      terminal.say(`${judged} judged, ${failed} not, ${rate} photos/s on ${provider}\n`);
    }
    return failed === 0 ? EXIT.done : EXIT.notAll;
  },
};

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

function printer({ print }: Terminal): (line: Line) => void {
  return (line) => {
    const cells =
      "error" in line
        ? ["failed", "", "", line.path, `${line.error.code}: ${line.error.message}`]
        : [
            line.verdict,
            `${line.category} ${line.scores[line.category]!.toFixed(2)}`,
            `human ${line.human.toFixed(2)}`,
            line.path,
            line.reason,
          ];
    const widths = [6, 13, 10, 40];
    print(table([cells.map((cell, column) => cell.padEnd(widths[column] ?? 0))])[0]!);
  };
}

function round(score: number): number {
  return Math.round(score * 10_000) / 10_000;
}
