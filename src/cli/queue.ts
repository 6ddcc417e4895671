import { Scope } from "../lifecycle.ts";
import { LANES, type Lane } from "../photo.ts";
import { requireSchema } from "../store/migrate.ts";
import { readWorkers } from "../store/models.ts";
import { changeLane, readLanes, type Steering } from "../wiring/lanes.ts";
import { duration } from "./backfill-estimate.ts";
import {
  connectedConfig,
  defineCommand,
  EXIT,
  flags,
  type Terminal,
  texts,
  UsageError,
  type Values,
} from "./command.ts";
import { openIntake } from "./intake.ts";
import { accountOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { pausedWords } from "./paused.ts";
import { counted } from "./plural.ts";
import { choose, nothingAfter, type WordsOf } from "./subcommand.ts";

const options = { ...texts("why", "by"), ...flags("json") };

export const queue = defineCommand({
  help: `
usage: maitred queue status [--json]
       maitred queue pause live|backfill --why WHY [--by WHO] [--json]
       maitred queue resume live|backfill [--why WHY] [--by WHO] [--json]

Of a lane that is paused workers finish what they have in hand and take nothing else, until it is resumed; the other goes
on. It is kept with the queue: workers that start meanwhile keep to it, and a queue that was lost is not paused any more.
Photos are queued as ever, and wait. To pause or resume what is so already changes nothing.

  --why WHY   why, for the audit log and whoever asks
  --by WHO    who is written down (default: the name of your account)
  --json      as JSON on stdout

  maitred queue pause backfill --why "the archive's bucket is moved"
`,
  words: true,
  options,

  async run(args, terminal) {
    const [command, rest] = choose(COMMANDS, args, WORDS_OF);
    // what is wrong with the arguments is said first
    const work = command(rest, args.values, terminal);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    try {
      const intake = openIntake(config, scope, () => {});
      await requireSchema(intake.db);
      await intake.server.check();
      return await work(intake);
    } finally {
      await scope.close();
    }
  },
});

type Word = (
  rest: readonly string[],
  values: Values<typeof options>,
  terminal: Terminal,
) => (steering: Steering) => Promise<number>;

const status: Word = (rest, { json }, terminal) => {
  nothingAfter("status", rest);
  return async (steering) => {
    const [lanes, { length: workers }] = await Promise.all([readLanes(steering), readWorkers(steering.db)]);
    const rows = lanes.map(({ lane, waiting, oldestS, active, delayed, ...state }) => [
      lane,
      String(waiting),
      waiting > 0 ? duration(oldestS) : "-",
      String(active),
      String(delayed),
      state.paused ? pausedWords(state) : "",
    ]);
    const head = ["lane", "waiting", "oldest", "in hand", "tried again later", ""];
    const heard = `${counted(workers, "worker")} heard from within two minutes`;
    printResult(terminal, json, { lanes, workers }, [...table([head, ...rows]), heard]);
    return EXIT.done;
  };
};

function change(to: "running" | "paused"): Word {
  return (rest, { why = "", json, by }, terminal) => {
    const lane = oneLane(rest);
    if (to === "paused" && why === "") throw new UsageError("--why: expected why it is paused");
    return async (steering) => {
      const changed = await changeLane(steering, lane, to, accountOption({ by }), why);
      const now = (await readLanes(steering)).find((each) => each.lane === lane)!;
      const state = now.paused ? pausedWords(now) : "running";
      const said = `${changed ? "" : "nothing changed: "}the lane ${lane} is ${state}`;
      const { paused, pausedBy } = now;
      printResult(terminal, json, { lane, changed, paused, pausedBy }, said);
      return EXIT.done;
    };
  };
}

/** @throws {UsageError} */
function oneLane([given, ...more]: readonly string[]): Lane {
  const lane = LANES.find((each) => each === given);
  if (lane && more.length === 0) return lane;
  throw new UsageError(
    `expected ${LANES.join(" or ")}${given === undefined ? "" : `, got ${[given, ...more].join(" ")}`}`,
  );
}

const COMMANDS: Readonly<Record<string, Word>> = {
  status,
  pause: change("paused"),
  resume: change("running"),
};
const WORDS_OF: WordsOf<typeof options> = { why: ["pause", "resume"], by: ["pause", "resume"] };
