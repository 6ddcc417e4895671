import { constants } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type RunningApi, startApi } from "../../workers/api.ts";
import { startDeliver } from "../../workers/deliver.ts";
import { startFeed } from "../../workers/feed.ts";
import { type RunningWorker, startWorker } from "../../workers/moderate.ts";
import { type Config, readConfig } from "../config.ts";
import { listFolder } from "../image/folder.ts";
import { exitOnSignal, Scope } from "../lifecycle.ts";
import { createLog } from "../log.ts";
import type { Queues } from "../queue/queues.ts";
import { readPhotos } from "../store/photos.ts";
import { createOutageLogger } from "../wiring/servers.ts";
import { defineCommand, EXIT, flags, type Terminal, UsageError } from "./command.ts";
import { howCalled, quoted } from "./how-called.ts";
import { openIntake } from "./intake.ts";
import { accountOption } from "./options.ts";
import { sayPaused } from "./paused.ts";
import { createProgress, failedLines, photoTable } from "./progress.ts";
import { sentences } from "./sentences.ts";
import { printable } from "./terminal.ts";
import { requireFolder, startServers } from "./up-servers.ts";
import { whyWaiting } from "./waits.ts";
import { decidedOf, watchFolder, withdrawGone } from "./watch-folder.ts";

export const up = defineCommand({
  help: `
usage: maitred up [--json] [--verbose] [FOLDER...]
       maitred up --once [--json] [--verbose] FOLDER...

Starts Postgres (embedded, below MAITRED_HOME, unless DATABASE_URL names one), keeps the queue in it (unless
MAITRED_QUEUE_URL names Redis), migrates, judges the photos in the folders, and stays to judge what is dropped into
them. Names that begin with a dot are left out, and links are followed to files of the folders given, but not to folders.
What is decided already is left alone, unless its file was touched since. A photo whose file was
deleted, also while nothing ran, is withdrawn: it is shown no longer. Of a folder that is empty or not mounted none
is, and the log says so. A file that was renamed is another photo, which nobody has decided yet; where a moderator hid the same bytes it waits for one. Ctrl-C drains and ends.

While it stays it serves the HTTP API too (docs/intake.md), on MAITRED_API_PORT, for photos of S3 as well: what is told
there is judged here. Without a folder it judges that alone. It feeds backfills and tells destinations, as maitred feed and maitred deliver do. Callers need a
token: run maitred token create beside it. The desk (docs/desk.md) is served too, and where only this machine can reach
it, an address is printed that signs you in to it, once. Several may run at once, each with a
MAITRED_HOME of its own: where the usual ports are in use it takes others, and says which; a port that is set is taken
or refused. On a Postgres of DATABASE_URL where a worker runs already that may read other folders, it does not start: each
would take photos of the other's.

  --once      end when everything is judged, with a table of the photos; what cannot be read is named, and what failed last
  --json      one JSON object a photo on stdout, as of maitred classify, with id, bucket and key in place of its path; none of
              what another worker judged, or of what a backfill only proposes or leaves as it was
  --verbose   the worker's log on stderr, as JSON, with all there is to know of an error

  maitred up ./my-photos
  maitred up                       then, beside it: maitred enqueue s3://photos/42/

Exit codes: with --once, 0 every photo was judged, or there is none, 1 some were not, 130, 143 or 129 a signal came first; 3 the embedded
Postgres ended by itself.
`,
  words: true,
  options: { ...flags("once", "json", "verbose") },

  async run({ values: { once, json, verbose }, positionals }, terminal) {
    if (once && positionals.length === 0)
      throw new UsageError("--once: expected at least one folder with photos");
    const bucket = positionals.find((folder) => folder.startsWith("s3://"));
    if (bucket)
      throw new UsageError(
        `${bucket}: expected a folder: run maitred up without it, and beside it ${howCalled(terminal.env)} enqueue ${bucket}`,
      );
    const folders = positionals.map((folder) => resolve(folder));
    for (const folder of folders) requireFolder(folder);
    const scope = new Scope();
    const settings = readConfig(terminal.env);
    const log = verbose ? createLog(settings.logLevel) : createLog("error", sentences(terminal));
    // what was interrupted is not done
    if (once)
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
        process.once(signal, () => (process.exitCode ??= 128 + constants.signals[signal]));
    exitOnSignal(process, scope, settings.graceMs, (err) => log.error({ err }, "not a clean end"));
    const lost = (err: Error): void => {
      log.error({ err }, "the embedded Postgres has ended, and maitred ends too");
      process.exitCode = EXIT.unavailable;
      process.kill(process.pid, "SIGTERM");
    };
    try {
      const config = await startServers(settings, folders, scope, lost, terminal);
      const progress = createProgress(terminal, json, !once);
      scope.onClose("progress", progress.stop);
      // a port that nobody asked for is no reason not to start
      const ifTaken = (name: string) => ({ orAnyFree: !terminal.env[name]?.trim() });
      // who waits for the end is told of what cannot be read
      const judging = once ? { ...config, patienceMs: 0 } : config;
      const worker = await startWorker(judging, log, scope, progress.events, ifTaken("MAITRED_PORT"));
      const intake = openIntake(config, scope, createOutageLogger(log, "intake"));
      const watching = { intake, log, withdrew: progress.withdrew, decided: progress.decided };
      await sayPaused(terminal, intake);
      for (const folder of folders) await withdrawGone(folder, watching);
      if (!once) {
        const api = await startApi(config, log, scope, ifTaken("MAITRED_API_PORT"));
        await startFeed(config, log, scope);
        await startDeliver(config, log, scope);
        const beside = homeFor(settings) + howCalled(terminal.env);
        const desk = deskOf(config, api, beside);
        const first = folders.map((folder) => watchFolder(folder, watching, scope));
        sayAddresses(folders, { worker, api, desk, beside }, terminal);
        await Promise.all(first);
        const putOff = await untilIdle(intake.queues);
        if (!scope.closing) progress.watches(putOff);
        return await new Promise(() => {});
      }

      const ids: string[] = [];
      let whole = true;
      const leftOut = (what: string): void => {
        whole = false;
        progress.leftOut(what);
      };
      for (const folder of folders) {
        for await (const page of listFolder(folder, leftOut)) {
          const taken = await intake.take(page, "live");
          ids.push(...taken.ids);
          progress.decided(decidedOf(taken));
          progress.expect(taken.queued);
        }
      }
      await progress.done(
        (id) => intake.queues.held([id]),
        (waiting) => whyWaiting(intake, config.lockMs, waiting),
      );
      progress.stop();
      const photos = await readPhotos(intake.db, ids);
      if (ids.length === 0) terminal.say(`no photos in ${printable(folders.join(", "))}\n`);
      else if (!json) for (const line of photoTable(photos, terminal.printColumns)) terminal.print(line);
      terminal.say(`\n${progress.summary(worker.model, worker.provider)}\n`);
      for (const line of failedLines(photos)) terminal.say(`${line}\n`);
      return whole && photos.every((photo) => photo.state !== "failed") ? EXIT.done : EXIT.notAll;
    } catch (error) {
      if (!scope.closing) throw error;
      // a signal during the start ended it, and the signal's handler exits
      return new Promise(() => {});
    } finally {
      await scope.close();
    }
  },
});

/** What stands before this program in another shell, so that it finds the embedded Postgres of this one. */
function homeFor({ databaseUrl, home }: Config): string {
  if (databaseUrl || home === readConfig({}).home) return "";
  return `MAITRED_HOME=${quoted(resolve(home))} `;
}

/** How the person at the keyboard gets to the desk. A link that signs in is for nobody else's network. */
function deskOf({ host, deskUrl }: Config, api: RunningApi, beside: string): string {
  if (deskUrl !== "" || !/^(127\.[\d.]+|localhost|::1)$/.test(host)) {
    const how = `${beside} token create --scopes review,operate NAME makes a token for it`;
    return `the desk is at ${deskUrl || api.url}/desk/; ${how}`;
  }
  const name = accountOption({});
  const link = api.signInLink({ subject: `link:${name}`, name, roles: ["moderator", "operator"] });
  return `the desk, signed in once within the hour: ${link}`;
}

/** Waits until no upload waits or is in hand. @returns how many are put off. */
async function untilIdle(queues: Queues): Promise<number> {
  for (;;) {
    // what is away now may be back at the next look
    const lane = await queues.depth("live").catch(() => undefined);
    if (lane?.waiting === 0 && lane.active === 0) return lane.delayed;
    await sleep(LOOK_MS);
  }
}

function sayAddresses(
  folders: readonly string[],
  { worker, api, desk, beside }: { worker: RunningWorker; api: RunningApi; desk: string; beside: string },
  terminal: Terminal,
): void {
  const watches = folders.length > 0 ? `watches ${folders.join(", ")}` : "watches no folder";
  terminal.say(`${worker.model} on ${worker.provider} ${watches}; ${worker.url}/metrics; Ctrl-C ends\n`);
  terminal.say(
    `the API answers at ${api.url}; ${beside} token create --scopes ingest,read NAME makes a token for it\n`,
  );
  if (folders.length === 0)
    terminal.say(`photos of a bucket: ${beside} enqueue s3://BUCKET/PREFIX/ queues them\n`);
  terminal.say(`${desk}\n`);
  terminal.say(`its tables: psql "$(${beside} config --database-url)"; docs/tables.md has queries\n`);
}

/** How often to look whether all is judged. */
const LOOK_MS = 500;
