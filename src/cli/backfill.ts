import { ConfigError } from "../errors.ts";
import {
  applyProposals,
  type BackfillRow,
  changeBackfill,
  discardProposals,
  retryBackfill,
  rollbackBackfill,
} from "../store/backfills.ts";
import type { Pool } from "../store/pool.ts";
import { type BackfillCommand, idOf, options, theBackfill } from "./backfill-command.ts";
import { list, report, status } from "./backfill-report.ts";
import { start } from "./backfill-start.ts";
import { defineCommand, EXIT, UsageError } from "./command.ts";
import { accountOption, codeOption } from "./options.ts";
import { printResult } from "./output.ts";
import { counted } from "./plural.ts";
import { runSubcommand, type WordsOf } from "./subcommand.ts";
import { drawStatus } from "./terminal.ts";

export const backfill = defineCommand({
  help: `
usage: maitred backfill start WHAT [options]
       maitred backfill list | status ID [--watch] | report ID [--most 20]
       maitred backfill apply ID | discard ID | rollback ID
       maitred backfill pause ID --why WHY | resume ID | cancel ID --why WHY | retry-failed ID [--code CODE]

WHAT is one of
  s3://bucket/prefix/          everything below it (or s3://bucket/)
  a manifest                   s3://bucket/key or a path: .csv with a header, .jsonl, either with .gz, or the
                               manifest.json of an S3 Inventory; --bucket NAME for lines that name none
  --view NAME                  the photo_ids of a view or table; its name, or SCHEMA.NAME, of letters, digits and _
  and photos that Postgres knows, by any of
  --missing                    without a verdict
  --failed [--code CODE]       that failed
  --older-model                that another model decided
  --below 0.7                  whose category had a lower score
  --since DATE --until DATE    that became known then, such as 2026-01-01
  --listing ID --uploader WHO  of a restaurant; moderator or user
  --all                        all of them

What the model has decided already is skipped, and what a moderator decided always is. The command only writes down
what is to be done: maitred feed (or maitred up) does it, goes on after a crash where it was, and leaves uploads first.

apply makes the proposals of a run verdicts, discard forgets them. rollback restores what was before a run, except for
photos that were judged again since. A moderator's verdict survives all of it. A photo that had no verdict before the run
is pending again: an upload is queued, any other is judged by start --missing, and rollback says how many those are.

  --dry-run         how many, how long at the best rate of the workers that run, how many requests and bytes; starts nothing
  --propose         keep the new verdicts as proposals: report shows them, and apply or discard decides on all
  --again           also what the model has decided already; where it says otherwise now, that is written
  --model ID        the model that is to judge, and counts as having decided (default: the active one)
  --max-rate N      photos a second at most
  --hours 22-06     only at these hours of the feeder's clock
  --expect N        how many photos there are, as --dry-run says: of a prefix, a list or a view nobody knows before its end,
                    and status has neither a share nor the time left
  --rendition-template resized/{key}
                    judge that smaller copy of each photo where there is one, of the same bucket or of s3://thumbs/{key};
                    {stem} is the key without its extension, {bucket} the photo's. Read docs/backfill.md first
  --unchecked       start it though this command cannot read the bucket, manifest or view: the feeder can
  --watch           stay and show how it goes; Ctrl-C leaves it running
  --by WHO          who is written down (default: the name of your account)
  --json            as JSON on stdout

  maitred backfill start s3://photos/2019/ --max-rate 500 --hours 22-06
  maitred backfill start --older-model --watch

Exit codes: 0 done, 1 there is no such backfill; of status and report, 1 photos failed in it; of --watch, 1 also where the feeder
had to pause it; of start, 2 there is no such bucket, manifest, view or model; of apply and discard, 2 the other of them was
done before.
`,
  words: true,
  options,

  run: (args, terminal) => runSubcommand(COMMANDS, args, WORDS_OF, terminal),
});

function change(state: "running" | "paused" | "cancelled", said: string): BackfillCommand {
  return (rest, values, terminal) => {
    const id = idOf(rest);
    const { why = "", json } = values;
    if (state !== "running" && !why) throw new UsageError(`--why: expected why it is ${said}`);
    return async (db) => {
      await theBackfill(db, id);
      await changeBackfill(db, id, state, accountOption(values), why);
      const { waiting } = await theBackfill(db, id);
      const still =
        state !== "running" && waiting > 0
          ? `; ${counted(waiting, "photo")} in the queue ${waiting === 1 ? "is" : "are"} still judged: maitred queue pause backfill stops ${waiting === 1 ? "it" : "these"} too`
          : "";
      printResult(terminal, json, { id, state, waiting }, `backfill ${id} is ${said}${still}`);
      return EXIT.done;
    };
  };
}

/** Works through a run page by page; stopped and run again, it goes on. */
function throughout(
  said: string,
  page: (
    db: Pool,
    id: string,
    by: string,
    after: string,
  ) => Promise<{ after: string; photos: number; otherwise?: number; pending?: number } | undefined>,
  outcome?: BackfillRow["outcome"],
): BackfillCommand {
  return (rest, values, terminal) => {
    const given = idOf(rest);
    return async (db) => {
      const { id } = await theBackfill(db, given);
      let photos = 0;
      let otherwise: number | undefined;
      let pending: number | undefined;
      let after = "0";
      for (;;) {
        const done = await page(db, id, accountOption(values), after);
        if (!done) {
          if (!outcome || after === "0") break;
          // what was proposed meanwhile may be of any photo
          after = "0";
          continue;
        }
        photos += done.photos;
        if (done.otherwise !== undefined) otherwise = (otherwise ?? 0) + done.otherwise;
        if (done.pending !== undefined) pending = (pending ?? 0) + done.pending;
        after = done.after;
        drawStatus(terminal, `${photos} photos`);
      }
      if (outcome && photos + (otherwise ?? 0) === 0) await refuseAfter(outcome, db, id);
      const all = photos + (otherwise ?? 0);
      const what = `${otherwise ? `${photos} of ` : ""}${counted(all, "photo")}`;
      const but = otherwise
        ? `; ${otherwise} ${otherwise === 1 ? "was" : "were"} decided otherwise meanwhile`
        : "";
      const lines = [`${what} of backfill ${id} ${all === 1 ? "is" : "are"} ${said}${but}`];
      if (all === 0 && !outcome) {
        const { undecided } = await theBackfill(db, id);
        const proposals = undecided ? `: its proposals were not applied, and discard forgets them` : "";
        lines[0] = `there was nothing of backfill ${id} to roll back${proposals}`;
      }
      if (pending)
        lines.push(
          `${counted(pending, "photo")} of it ${pending === 1 ? "has no verdict, is not shown, and waits" : "have no verdict, are not shown, and wait"} for nobody: maitred backfill start --missing judges all that have none`,
        );
      printResult(terminal, values.json, { id, photos, otherwise, pending }, lines);
      return EXIT.done;
    };
  };
}

/** There was nothing to do: because it was done before, or because the opposite was. */
async function refuseAfter(wanted: BackfillRow["outcome"], db: Pool, id: string): Promise<void> {
  const { outcome } = await theBackfill(db, id);
  if (outcome !== wanted) throw new ConfigError(`backfill ${id} was ${outcome} already`);
}

const apply = throughout(
  "decided as it proposed",
  async (db, id, by, after) => {
    const page = await applyProposals(db, id, after, by);
    return page && { photos: page.changed, otherwise: page.taken - page.changed, after: page.after };
  },
  "applied",
);
const discard = throughout(
  "left as before",
  async (db, id, by, after) => {
    const page = await discardProposals(db, id, after, by);
    return page && { photos: page.gone, after: page.after };
  },
  "discarded",
);
const rollback = throughout("as before", async (db, id, by, after) => {
  const page = await rollbackBackfill(db, id, after, by);
  return page && { photos: page.restored, pending: page.pending, after: page.after };
});

const retryFailed: BackfillCommand = (rest, values, terminal) => {
  const given = idOf(rest);
  const code = codeOption(values);
  return async (db) => {
    const { id } = await theBackfill(db, given);
    const photos = await retryBackfill(db, id, code, accountOption(values));
    const said = `maitred feed will queue ${counted(photos, "photo")} of backfill ${id} again`;
    printResult(terminal, values.json, { id, photos }, said);
    return EXIT.done;
  };
};

const COMMANDS: Readonly<Record<string, BackfillCommand>> = {
  start,
  list,
  status,
  pause: change("paused", "paused"),
  resume: change("running", "running again"),
  cancel: change("cancelled", "cancelled"),
  "retry-failed": retryFailed,
  report,
  apply,
  discard,
  rollback,
};

const CHANGES = ["apply", "discard", "rollback", "pause", "resume", "cancel", "retry-failed"];
const WORDS_OF: WordsOf<typeof options> = {
  ...Object.fromEntries(Object.keys(options).map((name) => [name, ["start"]])),
  json: Object.keys(COMMANDS),
  by: ["start", ...CHANGES],
  why: ["pause", "resume", "cancel"],
  code: ["start", "retry-failed"],
  watch: ["start", "status"],
  most: ["report"],
};
