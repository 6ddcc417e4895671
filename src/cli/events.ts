import type { Settled } from "../http/desk/operate-deps.ts";
import { Scope } from "../lifecycle.ts";
import { createLog } from "../log.ts";
import {
  type BadMessage,
  type BadMessageFilter,
  listBadMessages,
  readBadMessage,
  resolveBadMessage,
} from "../store/bad-messages.ts";
import type { Pool } from "../store/pool.ts";
import { ID } from "../text.ts";
import { openEventIntake } from "../wiring/intake.ts";
import { replayBadMessage } from "../wiring/replay.ts";
import { connectedConfig, defineCommand, EXIT, flags, type Terminal, texts, UsageError } from "./command.ts";
import { timeOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { choose, nothingAfter, oneId, type WordsOf } from "./subcommand.ts";

const options = { ...texts("source", "since"), ...flags("all", "json") };

export const events = defineCommand({
  help: `
usage: maitred events list [--source SOURCE] [--since TIME] [--all] [--json]
       maitred events show ID [--json]
       maitred events replay ID... | --all [--source SOURCE] [--since TIME] [--json]
       maitred events discard ID... | --all [--source SOURCE] [--since TIME] [--json]

A message of a queue that cannot be understood is put aside with its body, and deleted from the queue; so is a
notification of a store that came over HTTP, and the store goes on. Of several records or photos in one message those
that are understood are taken all the same.

  list      those that wait, the oldest first; --all: also those that were replayed or discarded
  show      one of them, with its body
  replay    reads them again, as this version understands them, and takes their events. What fails again stays, with
            its new reason; what was replayed is done, and is not replayed again
  discard   settles them without taking anything more

  --all            of list, also what is settled; of replay and discard, every one that waits
  --source SOURCE  of one queue, such as sqs:uploads, or of one address, such as http:s3
  --since TIME     received at that time or later, such as 2026-01-31 or 2026-01-31T12:00:00Z
  --json           one JSON object a line on stdout

  maitred events list --source sqs:uploads
  maitred events replay --all --since 2026-01-31

Exit codes: 0 done, 1 some failed again, or there is no such message. What is settled is forgotten after 30 days.
`,
  words: true,
  options,

  async run(args, terminal) {
    const [command, ids] = choose(COMMANDS, args, WORDS_OF);
    const { values, positionals } = args;
    const filter = filterOf(positionals[0]!, ids, values);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    try {
      const intake = await openEventIntake(config, createLog("error"), scope);
      const again: Again = (id) => replayBadMessage(intake, id);
      return await command(intake.db, filter, terminal, values.json, again);
    } finally {
      await scope.close();
    }
  },
});

type Again = (id: string) => Promise<Settled | undefined>;
type Subcommand = (
  db: Pool,
  filter: BadMessageFilter,
  terminal: Terminal,
  json: boolean,
  again: Again,
) => Promise<number>;

function filterOf(
  what: string,
  ids: readonly string[],
  values: { all: boolean; source?: string; since?: string },
): BadMessageFilter {
  const { all, source } = values;
  const wrong = ids.find((id) => !ID.test(id));
  if (wrong !== undefined) {
    throw new UsageError(`expected ids, as maitred events list shows them, got ${JSON.stringify(wrong)}`);
  }
  if (what === "list") nothingAfter(what, ids);
  if (what === "show") oneId("events", ids);
  if (what !== "list" && what !== "show" && ids.length > 0 === all) {
    throw new UsageError("expected ids, as maitred events list shows them, or --all");
  }
  const since = timeOption(values, "since");
  return {
    ...(ids.length > 0 && { ids }),
    ...(source !== undefined && { source }),
    ...(since && { since }),
    // one that is named is spoken of, whatever became of it
    resolved: what === "list" ? all : ids.length > 0,
  };
}

const list: Subcommand = async (db, filter, terminal, json) => {
  const rows: string[][] = [];
  for await (const message of each(db, filter)) {
    if (json) terminal.print(JSON.stringify(message));
    else {
      const { id, source, receivedAt, code, resolution, detail } = message;
      rows.push([id, source, receivedAt.toISOString(), code, resolution ?? "waits", detail]);
    }
  }
  if (!json) {
    for (const line of table([["id", "source", "received", "code", "state", "why"], ...rows]))
      terminal.print(line);
  }
  return EXIT.done;
};

const show: Subcommand = async (db, { ids = [] }, terminal, json) => {
  const message = await readBadMessage(db, ids[0]!);
  if (!message) return missing(ids, [], terminal);
  const { body, ...about } = message;
  const rows = Object.entries(about).map(([name, value]) => [
    name,
    value instanceof Date ? value.toISOString() : String(value ?? ""),
  ]);
  printResult(terminal, json, message, [...table(rows), "", ...body.split(/\r?\n/)]);
  return EXIT.done;
};

const replay: Subcommand = (db, filter, terminal, json, again) =>
  // forgotten meanwhile is as good as discarded
  settle(db, filter, terminal, json, async ({ id }) => (await again(id)) ?? { state: "discarded" });

const discard: Subcommand = (db, filter, terminal, json) =>
  settle(db, filter, terminal, json, async ({ id }) => {
    await resolveBadMessage(db, id, "discarded");
    return { state: "discarded" };
  });

/** Does it to each message that waits, and says of the others what became of them. */
async function settle(
  db: Pool,
  filter: BadMessageFilter,
  terminal: Terminal,
  json: boolean,
  work: (message: BadMessage) => Promise<Settled>,
): Promise<number> {
  const seen: string[] = [];
  let failed = 0;
  for await (const message of each(db, filter)) {
    const { id, resolution, resolvedAt } = message;
    seen.push(id);
    const done: Settled = resolution ? { state: resolution } : await work(message);
    if (done.state === "failed") failed++;
    const before = resolvedAt ? ` on ${resolvedAt.toISOString()} already` : "";
    const photos = done.photos ? `, photos ${done.photos.join(", ") || "none"}` : "";
    const why = done.detail ? `: ${done.code} ${done.detail}` : "";
    printResult(terminal, json, { id, ...done }, `${id} ${done.state}${before}${photos}${why}`);
  }
  const found = missing(filter.ids ?? [], seen, terminal);
  return failed > 0 ? EXIT.notAll : found;
}

function missing(ids: readonly string[], seen: readonly string[], terminal: Terminal): number {
  const absent = ids.filter((id) => !seen.includes(id));
  for (const id of absent) terminal.say(`there is no message ${id}: maitred events list shows them\n`);
  return absent.length > 0 ? EXIT.notAll : EXIT.done;
}

async function* each(db: Pool, filter: BadMessageFilter): AsyncGenerator<BadMessage> {
  let after = "0";
  for (;;) {
    const page = await listBadMessages(db, filter, after, PAGE);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.id;
  }
}

const COMMANDS: Readonly<Record<string, Subcommand>> = { list, show, replay, discard };
const MANY = ["list", "replay", "discard"];
const WORDS_OF: WordsOf<typeof options> = { source: MANY, since: MANY, all: MANY };
const PAGE = 100;
