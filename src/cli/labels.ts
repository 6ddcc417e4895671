import { constants } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { restrictSharp } from "../image/decode.ts";
import { createKeyTemplate } from "../image/key-template.ts";
import { shrink } from "../image/shrink.ts";
import { isAsked, type LabelledPhoto, labelOf } from "../label.ts";
import {
  type ExportDeps,
  type Exported,
  type ExportOptions,
  nothingExported,
  writeLabels,
} from "../labels/folder.ts";
import { Scope } from "../lifecycle.ts";
import { photosWithoutReview } from "../store/labels.ts";
import type { Pool } from "../store/pool.ts";
import { openPhotos } from "../wiring/photos.ts";
import { connectedConfig, defineCommand, EXIT, flags, type Terminal, UsageError } from "./command.ts";
import { openPictureHeic } from "./file-judge.ts";
import {
  type Choice,
  choiceOf,
  choiceOptions,
  labelled,
  type Seen,
  warningsOf,
  wholeOf,
} from "./labels-choice.ts";
import { printResult } from "./output.ts";
import { makeOutputFolder, tryOutputFolder } from "./output-folder.ts";
import { counted } from "./plural.ts";
import { withPostgres } from "./postgres.ts";
import { printable, sayStatus, wipeStatus } from "./terminal.ts";

export const labels = defineCommand({
  help: `
usage: maitred labels export [options] FOLDER

Writes photos, at most 512 pixels on their long side and without EXIF, and labels.jsonl: what moderators said,
then what uploaders claimed where no moderator has said anything, the newest first. Stop it at any time and run it
again: photos that are there are not fetched again, and labels of earlier runs stay. docs/labels.md says what to trust.

  --from WHAT    of moderators, claims, audit, with commas between (default all three)
  --since DATE   only what was said since then, such as 2026-01-01
  --limit N      at most so many photos
  --without-held-out SHARE
                 without the photos of that share of the sources, such as 0.2: for training
  --held-out SHARE
                 only the photos of these sources, for measuring. They are the same ones in every export, so that
                 folders of both kinds never share one, where the share is the same
  --dry-run      only count: fetch and write nothing
  --json         the result as one JSON object on stdout

  maitred labels export --without-held-out 0.2 ./labelled
  maitred labels export --held-out 0.2 --from moderators,audit ./gold

Exit codes: 0 all is written but for photos that are gone, 1 others could not be had, and are listed.
`,
  words: true,
  options: { ...choiceOptions, ...flags("dry-run", "json") },

  async run({ values, positionals }, terminal) {
    const folder = folderOf(positionals);
    const chosen = choiceOf(values);
    const config = connectedConfig(terminal);
    const dryRun = values["dry-run"];
    if (!dryRun) for (const each of foldersOf(folder)) tryOutputFolder("FOLDER", each);
    const knownFromKey = createKeyTemplate(config.keyTemplate);
    const listingOf = (key: string): string | undefined => knownFromKey(key).listing;
    const seen: Seen = {
      labels: 0,
      withoutListing: 0,
      sources: new Set(),
      others: new Set(),
      all: false,
      copiesUnknown: false,
    };
    const gather = (db: Pool): Promise<Exported> => {
      const photos = labelled(db, chosen, listingOf, seen);
      return dryRun
        ? count(photos, chosen)
        : write(db, photos, folder, { ...chosen, listingOf }, config, terminal);
    };
    const done = await withPostgres(config, gather);
    for (const { code, photo, bucket, key, message } of done.missing) {
      terminal.say(`${printable(`${code} photo ${photo} ${bucket}/${key}: ${message}`)}\n`);
    }
    const warnings = warningsOf(seen, chosen);
    for (const each of warnings) terminal.say(`${printable(each)}\n`);
    const { withoutListing } = seen;
    const result = { ...done, withoutListing, warnings };
    printResult(terminal, values.json, result, summary(done, dryRun, folder));
    return done.missing.every(({ code }) => code === "GONE") ? EXIT.done : EXIT.notAll;
  },
});

function folderOf([what, folder, ...rest]: readonly string[]): string {
  if (what !== "export")
    throw new UsageError(`expected export, got ${what === undefined ? "nothing" : JSON.stringify(what)}`);
  if (folder === undefined || rest.length > 0) throw new UsageError("expected one folder to export to");
  return resolve(folder);
}

function foldersOf(folder: string): string[] {
  return [folder, join(folder, "photos")];
}

async function count(photos: AsyncIterable<LabelledPhoto>, { belongs }: Choice): Promise<Exported> {
  const done = nothingExported();
  for await (const photo of photos) {
    const label = labelOf(photo);
    if (!label) {
      done.unusable++;
      continue;
    }
    if (!isAsked(photo, belongs)) {
      done.leftOut++;
      continue;
    }
    done.labels++;
    done.origins[photo.origin] = (done.origins[photo.origin] ?? 0) + 1;
  }
  return done;
}

async function write(
  db: Pool,
  photos: AsyncIterable<LabelledPhoto>,
  folder: string,
  chosen: Choice & Pick<Required<ExportOptions>, "listingOf">,
  config: Config,
  terminal: Terminal,
): Promise<Exported> {
  for (const each of foldersOf(folder)) makeOutputFolder("FOLDER", each);
  const scope = new Scope();
  let line = "";
  const timer = setInterval(() => line && sayStatus(terminal, line), terminal.columns > 0 ? 100 : 5_000);
  scope.onClose("progress", () => clearInterval(timer));
  const deps: ExportDeps = {
    load: await openLoad(config, scope),
    withoutReview: (ids) => photosWithoutReview(db, ids),
    pause: (tries) => sleep(config.backoffMs * 2 ** (tries - 1)),
    progress: ({ labels, fetched, missing }) => {
      line = `${counted(labels, "label")}, ${counted(fetched, "photo")} fetched, ${missing.length} not to be had`;
    },
  };
  try {
    return await writeLabels(deps, untilInterrupted(photos, terminal), folder, {
      width: WIDTH,
      attempts: config.attempts,
      whole: wholeOf(chosen),
      belongs: chosen.belongs,
      listingOf: chosen.listingOf,
    });
  } finally {
    await scope.close();
    wipeStatus(terminal);
  }
}

/** A signal lets what is in hand be done and written down; a second one ends the process at once. */
async function* untilInterrupted<T>(items: AsyncIterable<T>, terminal: Terminal): AsyncGenerator<T> {
  let interrupted = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    interrupted = true;
    process.exitCode = 128 + constants.signals[signal];
    terminal.say("interrupted: it ends with what is in hand, and goes on from there when it is run again\n");
  };
  for (const signal of SIGNALS) process.once(signal, onSignal);
  try {
    for await (const item of items) {
      if (interrupted) return;
      yield item;
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** Fetches as a worker does, and makes the photo small. */
async function openLoad(config: Config, scope: Scope): Promise<ExportDeps["load"]> {
  await restrictSharp();
  const fetch = openPhotos(config, scope, WIDTH);
  const heic = scope.hold("heic", openPictureHeic());
  return async (photo) => {
    const { bytes } = await fetch(photo);
    return shrink(bytes, { side: LONG_SIDE, maxPixels: config.maxPixels }, heic.decode);
  };
}

function summary(done: Exported, dryRun: boolean, folder: string): string {
  const origins = Object.entries(done.origins).map(([origin, photos]) => `${photos} by ${origin}`);
  const parts = [`${counted(done.labels, "label")}${origins.length > 0 ? ` (${origins.join(", ")})` : ""}`];
  if (!dryRun) parts.push(`${counted(done.fetched, "photo")} fetched, ${done.present} there already`);
  if (done.takenBack > 0) parts.push(`${done.takenBack} of before were taken back`);
  if (done.leftOut > 0) parts.push(`${done.leftOut} left out, of other sources or the same picture as there`);
  if (done.unusable > 0) parts.push(`${done.unusable} said nothing that training knows`);
  if (done.missing.length > 0) parts.push(`${done.missing.length} not to be had`);
  return `${parts.join("; ")}${dryRun ? "" : `; ${join(folder, "labels.jsonl")}`}`;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Pixels: twice what the largest model reads, so that training can crop. */
const LONG_SIDE = 512;
const WIDTH = 16;
