import type { Pool } from "../store/pool.ts";
import { checkRollups, foldRollups, mendRollups, rollupState } from "../store/rollups.ts";
import { connectedConfig, defineCommand, EXIT, flags, type Terminal } from "./command.ts";
import { printResult, table } from "./output.ts";
import { withPostgres } from "./postgres.ts";
import { choose, nothingAfter } from "./subcommand.ts";

export const rollups = defineCommand({
  help: `
usage: maitred rollups check [--json]
       maitred rollups mend [--json]
       maitred rollups fold [--json]

The views of docs/tables.md read counts that change in the transaction that changes a photo, so they cannot drift. What can
make them wrong is a hand: triggers that were disabled, rows that were loaded around them, counts that were written to.

  check   compares every count with the tables, as of one moment, while others work; shows the 20 that differ most. It
          reads all of photos, verdicts and reviews: minutes on hundreds of millions
  mend    makes them what the tables say; nobody who writes waits for it. Takes as long as check
  fold    moves what changed into the counts, as maitred worker, api, listen and feed do every ten seconds; for a timer
          where none of them runs

  --json  one JSON object on stdout

Exit codes: 0 done, 1 of check: some counts are wrong. Only a member of maitred_migrator may mend.
`,
  words: true,
  options: { ...flags("json") },

  async run(args, terminal) {
    const [command, rest] = choose(COMMANDS, args, {});
    nothingAfter(args.positionals[0]!, rest);
    return withPostgres(connectedConfig(terminal), (db) => command(db, terminal, args.values.json));
  },
});

type Subcommand = (db: Pool, terminal: Terminal, json: boolean) => Promise<number>;

const check: Subcommand = async (db, terminal, json) => {
  const wrong = await checkRollups(db, 20);
  const rows = wrong.map(({ rollup, of, missing }) => [rollup, String(missing), JSON.stringify(of)]);
  const lines = table([["counts", "missing", "of"], ...rows]);
  printResult(terminal, json, { wrong }, wrong.length === 0 ? "every count is what the tables say" : lines);
  if (wrong.length === 0) return EXIT.done;
  if (!json) terminal.say("these differ most from the tables: maitred rollups mend\n");
  return EXIT.notAll;
};

const mend: Subcommand = async (db, terminal, json) => {
  const mended = await mendRollups(db);
  await foldRollups(db);
  const said = mended === 0 ? "nothing to do: every count was right" : `mended ${mended} counts`;
  printResult(terminal, json, { mended }, said);
  return EXIT.done;
};

const fold: Subcommand = async (db, terminal, json) => {
  await foldRollups(db);
  const { waiting } = await rollupState(db);
  const said = waiting === 0 ? "folded" : `folded; ${waiting} changes came meanwhile`;
  printResult(terminal, json, { waiting }, said);
  return EXIT.done;
};

const COMMANDS: Readonly<Record<string, Subcommand>> = { check, mend, fold };
