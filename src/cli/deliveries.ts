import {
  type DeliveryFilter,
  type DeliveryState,
  listDeliveries,
  readChange,
  replayDeliveries,
} from "../store/deliveries.ts";
import { ID } from "../text.ts";
import { defineCommand, EXIT, flags, texts, UsageError, type Values } from "./command.ts";
import { choiceOption, numberOption, whole } from "./options.ts";
import { printResult, table } from "./output.ts";
import { nothingAfter, runSubcommand, type Subcommand, type WordsOf } from "./subcommand.ts";
import { drawStatus, wipeStatus } from "./terminal.ts";

const options = { ...texts("state", "destination", "photo", "limit"), ...flags("all", "json") };
type Word = Subcommand<typeof options>;

export const deliveries = defineCommand({
  help: `
usage: maitred deliveries list [--state STATE] [--destination ID] [--photo ID] [--limit N]
       maitred deliveries show SEQUENCE
       maitred deliveries replay [SEQUENCE] [--destination ID] [--photo ID] [--state STATE] [--all]

STATE is pending, delivered (kept for MAITRED_DELIVER_KEEP_DAYS) or dead (it failed too often, and is tried no more).
replay sends dead deliveries once more, or those of another --state; a SEQUENCE whatever its state. Receivers know it by
its webhook-id, which stays the same. It does so a thousand at a time, and can be ended: run again, it goes on with
those that are still dead. What goes to a destination that is disabled waits until it is enabled.

  --state STATE      pending, delivered or dead
  --destination ID   of this destination
  --photo ID         of this photo
  --limit N          how many to list, the newest first (default 50)
  --all              of replay: of every destination and photo
  --json             as JSON on stdout

  maitred deliveries list --state dead
  maitred deliveries replay --destination 3f9c2a71b0d4

Exit codes: of show, 1 there is no such change.
`,
  words: true,
  options,

  run: (args, terminal) => runSubcommand(COMMANDS, args, WORDS_OF, terminal),
});

const list: Word = (rest, values, terminal) => {
  nothingAfter("list", rest);
  const filter = filterOf(values);
  const limit = numberOption(values, "limit", whole(1, 10_000)) ?? 50;
  return async (db) => {
    const found = await listDeliveries(db, filter, limit);
    const rows = found.map((each) => [
      each.seq,
      each.destination,
      each.to,
      each.photoId,
      each.change,
      each.state,
      String(each.attempts),
      each.deliveredAt?.toISOString() ?? each.nextAt?.toISOString() ?? "",
      each.lastError ?? "",
    ]);
    const head = ["sequence", "destination", "to", "photo", "change", "state", "tries", "delivered or due"];
    printResult(terminal, values.json, found, table([[...head, "last error"], ...rows]));
    return EXIT.done;
  };
};

const show: Word = ([seq, ...more], { json }, terminal) => {
  if (more.length > 0) throw new UsageError("show: expected one sequence");
  const filter = { seq: number("show", seq) };
  return async (db) => {
    const change = await readChange(db, filter.seq);
    if (!change) {
      terminal.say(
        `there is no change ${filter.seq} any more: maitred deliveries list shows those that are kept\n`,
      );
      return EXIT.notAll;
    }
    const told = (await listDeliveries(db, filter, 10_000)).map(({ bucket: _, key: __, ...each }) => each);
    const all = { seq: filter.seq, ...change, deliveries: told };
    printResult(terminal, json, all, JSON.stringify(all, null, 2).split("\n"));
    return EXIT.done;
  };
};

const replay: Word = ([seq, ...more], values, terminal) => {
  if (more.length > 0) throw new UsageError("replay: expected at most one sequence");
  const filter: DeliveryFilter = {
    ...filterOf(values),
    ...(seq !== undefined && { seq: number("replay", seq) }),
  };
  if (!filter.seq && !filter.destination && !filter.photoId && !values.all) {
    throw new UsageError("replay: expected a sequence, --destination, --photo, or --all");
  }
  if (!filter.seq) filter.state ??= "dead";
  return async (db) => {
    let replayed = 0;
    const disabled = new Set<string>();
    const where = (): string => `${replayed} deliveries are sent again`;
    try {
      for await (const page of replayDeliveries(db, filter)) {
        replayed += page.replayed;
        if (!page.enabled) disabled.add(page.destination);
        drawStatus(terminal, where());
      }
    } catch (error) {
      wipeStatus(terminal);
      if (replayed > 0) terminal.say(`${where()}; the same command goes on\n`);
      throw error;
    }
    wipeStatus(terminal);
    const waits = [...disabled].map(
      (id) => `${id} is disabled: those to it go once it is enabled: maitred destination enable ${id}`,
    );
    printResult(terminal, values.json, { replayed, disabled: [...disabled] }, [where(), ...waits]);
    return EXIT.done;
  };
};

const COMMANDS: Readonly<Record<string, Word>> = { list, show, replay };
const WORDS_OF: WordsOf<typeof options> = {
  state: ["list", "replay"],
  destination: ["list", "replay"],
  photo: ["list", "replay"],
  limit: ["list"],
  all: ["replay"],
};

function filterOf(values: Values<typeof options>): DeliveryFilter {
  const { destination, photo } = values;
  const state = choiceOption(values, "state", STATES);
  return {
    ...(state && { state }),
    ...(destination !== undefined && { destination }),
    ...(photo !== undefined && { photoId: number("--photo", photo) }),
  };
}

function number(what: string, text: string | undefined): string {
  if (text !== undefined && ID.test(text)) return text;
  throw new UsageError(`${what}: expected a number, got ${JSON.stringify(text ?? "")}`);
}

const STATES: readonly DeliveryState[] = ["pending", "delivered", "dead"];
