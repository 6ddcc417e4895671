import { Scope } from "../lifecycle.ts";
import { LANES, type Lane } from "../photo.ts";
import { openQueues } from "../queue/queues.ts";
import { openQueueServer } from "../queue/server.ts";
import { readWorkers } from "../store/models.ts";
import { changeLane, readLanes, type Steering } from "../wiring/lanes.ts";
import { duration } from "./backfill-estimate.ts";
import {
  type Arguments,
  type Command,
  connectedConfig,
  EXIT,
  type Terminal,
  table,
  UsageError,
} from "./command.ts";
import { accountOption } from "./options.ts";
import { pausedWords } from "./paused.ts";
import { counted } from "./plural.ts";
import { withPostgres } from "./postgres.ts";
import { choose, nothingAfter } from "./subcommand.ts";

export const queue: Command = {
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
  options: { why: { type: "string" }, by: { type: "string" }, json: { type: "boolean" } },

  async run(args, terminal) {
    const [command, positionals] = choose(COMMANDS, args.positionals);
    // what is wrong with the arguments is said first
    const work = command({ ...args, positionals }, terminal);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    try {
      return await withPostgres(config, async (db) => {
        const server = openQueueServer(config, () => {});
        scope.hold("queue server", server);
        await server.check();
        const queues = openQueues(server, () => {});
        scope.hold("queues", queues);
        return work({ db, queues });
      });
    } finally {
      await scope.close();
    }
  },
};

type QueueCommand = (args: Arguments, terminal: Terminal) => (steering: Steering) => Promise<number>;

const status: QueueCommand = ({ values, positionals }, terminal) => {
  nothingAfter("status", positionals);
  return async (steering) => {
    const [lanes, { length: workers }] = await Promise.all([readLanes(steering), readWorkers(steering.db)]);
    if (values["json"]) terminal.print(JSON.stringify({ lanes, workers }));
    else {
      const rows = lanes.map(({ lane, waiting, oldestS, active, delayed, ...state }) => [
        lane,
        String(waiting),
        waiting > 0 ? duration(oldestS) : "-",
        String(active),
        String(delayed),
        state.paused ? pausedWords(state) : "",
      ]);
      const head = ["lane", "waiting", "oldest", "in hand", "tried again later", ""];
      for (const line of table([head, ...rows])) terminal.print(line);
      terminal.print(`${counted(workers, "worker")} heard from within two minutes`);
    }
    return EXIT.done;
  };
};

function change(to: "running" | "paused"): QueueCommand {
  return ({ values, positionals }, terminal) => {
    const lane = oneLane(positionals);
    const { why = "" } = values as { why?: string };
    if (to === "paused" && why.trim() === "") throw new UsageError("--why: expected why it is paused");
    return async (steering) => {
      const changed = await changeLane(steering, lane, to, accountOption(values), why);
      const now = (await readLanes(steering)).find((each) => each.lane === lane)!;
      const state = now.paused ? pausedWords(now) : "running";
      if (values["json"])
        terminal.print(JSON.stringify({ lane, changed, paused: now.paused, pausedBy: now.pausedBy }));
      else terminal.print(`${changed ? "" : "nothing changed: "}the lane ${lane} is ${state}`);
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

const COMMANDS: ReadonlyMap<string, QueueCommand> = new Map([
  ["status", status],
  ["pause", change("paused")],
  ["resume", change("running")],
]);
