import { randomBytes } from "node:crypto";
import { createAddresses, why } from "../deliver/addresses.ts";
import { createWebhookSender } from "../deliver/webhook.ts";
import { packageVersion } from "../package-root.ts";
import { createSecret } from "../signature.ts";
import { type Behind, deliveryFigures } from "../store/deliveries.ts";
import {
  addDestination,
  type Destination,
  enableDestination,
  finishRotation,
  listDestinations,
  readWebhook,
  removeDestination,
  rotateSecret,
} from "../store/destinations.ts";
import { connectedConfig, defineCommand, EXIT, flags, type Terminal, texts, UsageError } from "./command.ts";
import { catchUp } from "./destination-catch-up.ts";
import { between, numberOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { noneOf, nothingAfter, oneId, runSubcommand, type Subcommand, type WordsOf } from "./subcommand.ts";

const options = { ...texts("bucket", "keep", "since", "after"), ...flags("finish", "json") };
type Word = Subcommand<typeof options>;
type Said = Pick<Destination, "note" | "oldKeyUntil"> & Pick<Behind, "oldestAt" | "lastError">;

export const destination = defineCommand({
  help: `
usage: maitred destination add webhook URL [--bucket BUCKET]
       maitred destination add s3-tags|notify [--bucket BUCKET]
       maitred destination list
       maitred destination rotate ID [--keep HOURS | --finish]
       maitred destination catch-up ID [--since TIME] [--after PHOTO]
       maitred destination test|enable|disable|remove ID

A destination is told of everything that happens to photos from then on. maitred deliver does it for webhooks and
s3-tags; notify is Postgres' own NOTIFY on the channel maitred_photos. The secret that signs webhooks is printed once,
by add and by rotate. After rotate the key before signs too, until its receivers have changed over. Rotate again before that, and
the key of the first rotate stops signing: the oldest goes on beside the newest. What waits for a destination that is disabled goes on
when it is enabled. list says how many deliveries wait and how many are dead, since when the oldest of those that wait does,
and what came of its last try. catch-up tells it of every photo that has, had or failed to get a verdict, as it is now, or of
those that changed since a time: what happened before it was added or while it was disabled. remove forgets what waits, too.

  --bucket BUCKET   only photos of this bucket
  --keep HOURS      how long the key before signs too (default 24)
  --finish          it signs no longer
  --since TIME      only photos that changed or were withdrawn since then, such as 2026-11-26T03:57:53Z
  --after PHOTO     only photos with a higher id: goes on where an earlier catch-up ended
  --json            as JSON on stdout

  maitred destination add webhook https://app.example/maitred
  maitred destination test 3f9c2a71b0d4

test sends one message of the type maitred.test, and says what came of it.
Exit codes: 1 there is no such destination, or the test failed.
`,
  words: true,
  options,

  run: (args, terminal) => runSubcommand(COMMANDS, args, WORDS_OF, terminal),
});

const add: Word = ([kind, url, ...more], { bucket = null, json }, terminal) => {
  if (kind !== "webhook" && kind !== "s3-tags" && kind !== "notify") {
    throw new UsageError(`add: expected webhook, s3-tags or notify, got ${JSON.stringify(kind ?? "")}`);
  }
  if (more.length > 0 || (kind === "webhook") !== (url !== undefined)) {
    throw new UsageError(kind === "webhook" ? "add webhook: expected one URL" : `add ${kind}: takes no URL`);
  }
  // no photo is of it, and nobody would hear of any
  if (bucket?.includes("://"))
    throw new UsageError(`--bucket: expected a bucket's name, got ${JSON.stringify(bucket)}`);
  if (url !== undefined) checkUrl(url, connectedConfig(terminal).webhookAllow);
  return async (db) => {
    const id = randomBytes(6).toString("hex");
    const secret = kind === "webhook" ? createSecret() : null;
    await addDestination(db, { id, kind, bucket, url: url ?? null }, secret);
    const made = { id, kind, ...(bucket && { bucket }), ...(url && { url }), ...(secret && { secret }) };
    printResult(terminal, json, made, secret ?? id);
    if (secret && !json)
      terminal.say(`webhook ${id}: its receiver verifies with this secret, which is not shown again\n`);
    return EXIT.done;
  };
};

const list: Word = (rest, { json }, terminal) => {
  nothingAfter("list", rest);
  return async (db) => {
    const [destinations, figures] = await Promise.all([listDestinations(db), deliveryFigures(db)]);
    const found = destinations.map((each) => {
      const told = figures.find(({ destination }) => destination === each.id);
      const { pending = 0, dead = 0, oldestAt = null, lastError = null } = told ?? {};
      return { ...each, pending, dead, oldestAt, lastError };
    });
    const rows = found.map((each) => [
      each.id,
      each.kind,
      each.bucket ?? "",
      each.enabled ? "enabled" : "disabled",
      each.url ?? "",
      // nobody waits with NOTIFY
      ...(each.kind === "notify" ? ["-", "-"] : [atMost(each.pending), atMost(each.dead)]),
      saidOf(each),
    ]);
    const head = ["id", "kind", "bucket", "state", "url", "waiting", "dead", ""];
    printResult(terminal, json, found, table([head, ...rows]));
    return EXIT.done;
  };
};

/** No more than 10,000 are counted. */
function atMost(counted: number): string {
  return counted >= 10_000 ? "10000+" : String(counted);
}

/** Since when what waits the longest does, and what came of its last try; and what else there is to say. */
function saidOf({ note, oldKeyUntil, oldestAt, lastError }: Said): string {
  const since = oldestAt && `since ${oldestAt.toISOString()}`;
  return [
    note,
    since && `waits ${since}${lastError === null ? "" : `, last answer: ${lastError}`}`,
    oldKeyUntil && `two keys until ${oldKeyUntil.toISOString()}`,
  ]
    .filter(Boolean)
    .join(", ");
}

const rotate: Word = (rest, values, terminal) => {
  const id = oneId("destination", rest);
  if (values.finish && values.keep !== undefined)
    throw new UsageError("expected --keep or --finish, not both");
  const hours = numberOption(values, "keep", between(0, 8_760)) ?? 24;
  return async (db) => {
    if (values.finish)
      return say(terminal, values.json, id, await finishRotation(db, id), "signs with one key", "webhook");
    const secret = createSecret();
    const rotated = await rotateSecret(db, id, secret, hours * 3_600);
    if (!rotated) return say(terminal, values.json, id, false, "", "webhook");
    printResult(terminal, values.json, { id, secret, keepHours: hours, ...rotated }, secret);
    if (!values.json) {
      terminal.say(
        rotated.replaced
          ? `${id} signs with this secret, not shown again, in place of the newer of its two, and for ${hours} hours with the older\n`
          : `${id} signs with this secret, not shown again, and for ${hours} hours with the one before\n`,
      );
    }
    return EXIT.done;
  };
};

const test: Word = (rest, { json }, terminal) => {
  const id = oneId("destination", rest);
  const config = connectedConfig(terminal);
  return async (db) => {
    const webhook = await readWebhook(db, id);
    if (!webhook) return say(terminal, json, id, false, "", "webhook");
    const sender = createWebhookSender(createAddresses(config.webhookAllow), {
      timeoutMs: config.deliverTimeoutMs,
      agent: `maitred/${packageVersion()}`,
    });
    const body = JSON.stringify({ type: "maitred.test", timestamp: new Date().toISOString(), data: {} });
    const attempt = await sender.post({
      ...webhook,
      id: `msg_${id}_test_${randomBytes(6).toString("hex")}`,
      body,
    });
    await sender.close();
    const delivered = attempt.outcome === "delivered";
    const why = delivered ? "" : attempt.why;
    const said = delivered ? `${id} took it` : `${id} did not take it: ${why}`;
    printResult(terminal, json, { id, delivered, ...(why && { why }) }, said);
    return delivered ? EXIT.done : EXIT.notAll;
  };
};

const enable: Word = (rest, { json }, terminal) => {
  const id = oneId("destination", rest);
  return async (db) => {
    const before = await enableDestination(db, id, true);
    if (before && !before.wasEnabled) {
      const since = before.since.toISOString();
      terminal.say(`what it missed: maitred destination catch-up ${id} --since ${since}\n`);
    }
    return say(terminal, json, id, before !== undefined, "is enabled");
  };
};

const disable: Word = (rest, { json }, terminal) => {
  const id = oneId("destination", rest);
  return async (db) =>
    say(terminal, json, id, (await enableDestination(db, id, false)) !== undefined, "is disabled");
};

const remove: Word = (rest, { json }, terminal) => {
  const id = oneId("destination", rest);
  return async (db) => say(terminal, json, id, await removeDestination(db, id), "is removed");
};

const COMMANDS: Readonly<Record<string, Word>> = {
  add,
  list,
  rotate,
  "catch-up": (rest, values, terminal) => catchUp(oneId("destination", rest), values, terminal),
  test,
  enable,
  disable,
  remove,
};
const WORDS_OF: WordsOf<typeof options> = {
  bucket: ["add"],
  keep: ["rotate"],
  finish: ["rotate"],
  since: ["catch-up"],
  after: ["catch-up"],
};

function say(
  terminal: Terminal,
  json: boolean,
  id: string,
  done: boolean,
  what: string,
  kind = "destination",
): number {
  printResult(terminal, json, { id, done }, done ? `${id} ${what}` : []);
  return done ? EXIT.done : noneOf(terminal, "destination", id, kind);
}

/** What can be told of a URL before anybody asks for its address; the rest is refused when it is called. */
function checkUrl(text: string, allow: readonly string[]): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new UsageError("add webhook: expected an https:// URL");
  }
  if (url.username || url.password) {
    throw new UsageError(
      "add webhook: expected a URL without user and password; the receiver verifies signatures",
    );
  }
  const encrypted = url.protocol === "https:";
  const { permits } = createAddresses(allow);
  if ((!encrypted && allow.length === 0) || !permits(url.hostname, encrypted)) {
    throw new UsageError(`add webhook: ${url.hostname} ${why(permits(url.hostname, true))}`);
  }
}
