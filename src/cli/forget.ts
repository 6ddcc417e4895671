import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Config } from "../config.ts";
import { ModerationError } from "../errors.ts";
import { connectS3 } from "../image/s3.ts";
import { headObject } from "../image/s3-listing.ts";
import { Scope } from "../lifecycle.ts";
import type { Store } from "../photo.ts";
import { type Forgotten, forgetObjects } from "../store/forget.ts";
import { requireSchema } from "../store/migrate.ts";
import { erase } from "../wiring/erase.ts";
import { connectedConfig, defineCommand, EXIT, flags, type Terminal, texts, UsageError } from "./command.ts";
import { openIntake } from "./intake.ts";
import { accountOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { counted } from "./plural.ts";

export const forget = defineCommand({
  help: `
usage: maitred forget [--dry-run | --yes] [--by NAME] [--json] BUCKET/KEY | PATH

Deletes every version of the object from Postgres, with tags, verdicts, reviews, scores and whatever else names it, in one
transaction, and takes its jobs out of the queue. It lists how many rows of which table went (--json: also where none did);
who did it and when is kept, but not of which object. The object itself stays where it is: delete it first, or the next sweep or event finds it again.
A photo of a folder is named by its path, also once its file is gone: one that begins with / or . is none of an object.
Only owners of the tables may do it: members of maitred_migrator.

  --dry-run   only lists what there is
  --yes       does not ask
  --by NAME   who did it (default: your account's name)
  --json      one JSON object on stdout

  maitred forget photos/42/dinner.jpg
  maitred forget ./photos/dinner.jpg

Exit codes: 1 nothing was known of it, or it was not confirmed.
`,
  words: true,
  options: { ...texts("by"), ...flags("dry-run", "yes", "json") },

  async run({ values, positionals }, terminal) {
    const [what, ...more] = positionals;
    if (what === undefined || more.length > 0) throw new UsageError("expected one BUCKET/KEY or path");
    const objects = objectsOf(what);
    const by = accountOption(values);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    const intake = openIntake(config, scope, () => {});
    try {
      await requireSchema(intake.db);
      await intake.server.check();
      const there = await isThere(config, objects, what);
      const known = await forgetObjects(intake.db, objects, by, true);
      const jobs = await intake.queues.held(known.photoIds);
      const print = (report: Report): void => printResult(terminal, values.json, report, linesOf(report));
      if (Object.values(known.counts).every((count) => count === 0)) {
        if (values.json)
          print({ erased: false, counts: known.counts, jobs: 0, jobsInHand: 0, stillThere: there });
        const other =
          objects[0]?.store === "s3"
            ? "; a photo of a folder is named by a path that begins with / or ."
            : "";
        terminal.say(`nothing is known of ${JSON.stringify(what)}, so there is nothing to erase${other}\n`);
        return EXIT.notAll;
      }
      if (there !== "no") terminal.say(warning(there));
      const { bad_messages: messages = 0 } = known.counts;
      if (messages > 0) terminal.say(whole(messages));
      if (values["dry-run"]) {
        print({ erased: false, counts: known.counts, jobs, jobsInHand: 0, stillThere: there });
        return EXIT.done;
      }
      if (!values.yes && !(await confirmed(known, what, terminal))) {
        terminal.say("nothing was erased\n");
        return EXIT.notAll;
      }
      const { counts, removed, inHand } = await erase(intake.db, intake.queues, objects, by);
      print({ erased: true, counts, jobs: removed, jobsInHand: inHand, stillThere: there });
      return EXIT.done;
    } finally {
      await scope.close();
    }
  },
});

interface Report {
  erased: boolean;
  counts: Record<string, number>;
  jobs: number;
  /** Their workers have them; what they find has no row to go to. */
  jobsInHand: number;
  stillThere: "yes" | "no" | "unknown";
}

interface ObjectRef {
  store: Store;
  bucket: string;
  key: string;
}

/** A path may be of any folder above it that was given to maitred. */
function objectsOf(what: string): ObjectRef[] {
  const [, scheme, bucket, key] = /^(s3:\/\/)?([^/]+)\/(.+)$/s.exec(what) ?? [];
  if (/^[./]/.test(what) || (!bucket && existsSync(what))) {
    const parts = resolve(what).split("/");
    return parts.slice(2).map((_, n) => ({
      store: "folder",
      bucket: parts.slice(0, n + 2).join("/"),
      key: parts.slice(n + 2).join("/"),
    }));
  }
  if (!bucket || !key) throw new UsageError(`expected BUCKET/KEY or a path, got ${JSON.stringify(what)}`);
  if (!scheme && existsSync(what)) {
    throw new UsageError(
      `expected ./${what}, a file here, or s3://${what}, an object: ${JSON.stringify(what)} may be either`,
    );
  }
  return [{ store: "s3", bucket, key }];
}

async function isThere(
  config: Config,
  objects: readonly ObjectRef[],
  what: string,
): Promise<Report["stillThere"]> {
  const [object] = objects;
  if (object?.store !== "s3") {
    return stat(what).then(
      () => "yes" as const,
      () => "no" as const,
    );
  }
  const s3 = connectS3(config, 1);
  try {
    const asking = {
      s3,
      bucket: object.bucket,
      turn: () => Promise.resolve(),
      signal: new AbortController().signal,
    };
    const found = await headObject(asking, object.key);
    return found === "absent" ? "no" : found === "refused" ? "unknown" : "yes";
  } catch (error) {
    if (error instanceof ModerationError) return "unknown";
    throw error;
  } finally {
    s3.destroy();
  }
}

function warning(there: "yes" | "unknown"): string {
  const why =
    there === "yes"
      ? "the object is still there"
      : "the store does not say whether the object is still there";
  return `${why}: the next sweep or event finds it again, unless you delete it there\n`;
}

function whole(messages: number): string {
  const what = counted(messages, "message");
  return `${what} that could not be taken would go too, with whatever is said there of other objects: mend and replay first what maitred events list shows\n`;
}

async function confirmed({ counts }: Forgotten, what: string, { say, stdin }: Terminal): Promise<boolean> {
  const rows = Object.values(counts).reduce((sum, count) => sum + count, 0);
  say(`erase ${rows} rows of ${JSON.stringify(what)} for good? Type yes: `);
  for await (const line of createInterface({ input: Readable.from(stdin) })) return line.trim() === "yes";
  throw new UsageError("expected yes on stdin, or --yes");
}

function linesOf({ erased, counts, jobs, jobsInHand }: Report): string[] {
  const rows = [
    ...Object.entries(counts),
    ["jobs in the queue", jobs] as const,
    ["jobs in hand, which end without effect", jobsInHand] as const,
  ].filter(([, count]) => count > 0);
  const title = ["table", erased ? "erased" : "would be erased"];
  return table([title, ...rows.map(([name, count]) => [name, String(count)])]);
}
