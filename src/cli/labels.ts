import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { FEW_SOURCES } from "../evaluate/report.ts";
import { restrictSharp } from "../image/decode.ts";
import { createFetch } from "../image/fetch.ts";
import { createFolderFetch } from "../image/folder.ts";
import { createKeyTemplate } from "../image/key-template.ts";
import { connectS3, createS3Fetch } from "../image/s3.ts";
import { shrink } from "../image/shrink.ts";
import { isHeldOut, type LabelledPhoto, labelOf, type Origin } from "../label.ts";
import { type ExportDeps, type Exported, writeLabels } from "../labels/folder.ts";
import { Scope } from "../lifecycle.ts";
import { packageRoot } from "../package-root.ts";
import { claimedPhotos, photosWithoutReview, reviewedPhotos } from "../store/labels.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect, type Pool } from "../store/pool.ts";
import { type Arguments, type Command, connectedConfig, EXIT, type Terminal, UsageError } from "./command.ts";
import { openPictureHeic } from "./judging.ts";
import { makeOutputFolder } from "./output-folder.ts";
import { counted } from "./plural.ts";
import { printable } from "./terminal.ts";
import { timeOption } from "./time.ts";

export const labels: Command = {
  summary: "export: what people said of photos, as the folder that training reads",
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
  options: {
    from: { type: "string" },
    since: { type: "string" },
    limit: { type: "string" },
    "without-held-out": { type: "string" },
    "held-out": { type: "string" },
    "dry-run": { type: "boolean" },
    json: { type: "boolean" },
  },

  async run(args, terminal) {
    const folder = folderOf(args);
    const chosen = choiceOf(args);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    try {
      if (!args.values["dry-run"])
        for (const each of [folder, join(folder, "photos")]) makeOutputFolder("FOLDER", each);
      const db = connect(config.databaseUrl, () => {}, 2);
      scope.onClose("Postgres", () => db.end());
      await requireSchema(db, join(packageRoot(), "migrations"));
      const seen: Seen = { labels: 0, withoutListing: 0, sources: new Set(), others: new Set(), all: false };
      const photos = labelled(db, chosen, createKeyTemplate(config.keyTemplate), seen);
      const dryRun = Boolean(args.values["dry-run"]);
      const done = dryRun
        ? await count(photos, chosen)
        : await write(db, photos, folder, chosen, config, scope, terminal);
      for (const { code, photo, bucket, key, message } of done.missing) {
        terminal.say(`${printable(`${code} photo ${photo} ${bucket}/${key}: ${message}`)}\n`);
      }
      const warnings = warningsOf(seen, chosen);
      for (const each of warnings) terminal.say(`${printable(each)}\n`);
      const { withoutListing } = seen;
      terminal.print(
        args.values["json"]
          ? JSON.stringify({ ...done, withoutListing, warnings })
          : summary(done, dryRun, folder),
      );
      return done.missing.every(({ code }) => code === "GONE") ? EXIT.done : EXIT.notAll;
    } finally {
      await scope.close();
    }
  },
};

interface Choice {
  from: ReadonlySet<string>;
  since: Date;
  limit: number;
  /** A share of the sources is kept apart, for a folder of their own. */
  apart: boolean;
  /** Whether the photos of a source are asked for. */
  belongs: (source: string) => boolean;
}

/** What was looked at, also of sources that are left out, and photos that could not be had. */
interface Seen {
  labels: number;
  /** Labels whose source is the folder of their key. */
  withoutListing: number;
  /** Sources that are asked for, and those that are not. */
  sources: Set<string>;
  others: Set<string>;
  /** All there is was looked at. */
  all: boolean;
}

function folderOf({ positionals }: Arguments): string {
  const [what, folder, ...rest] = positionals;
  if (what !== "export")
    throw new UsageError(`expected export, got ${what === undefined ? "nothing" : JSON.stringify(what)}`);
  if (folder === undefined || rest.length > 0) throw new UsageError("expected one folder to export to");
  return resolve(folder);
}

function choiceOf({ values }: Arguments): Choice {
  const from = String(values["from"] ?? FROM.join(",")).split(",");
  const unknown = from.find((each) => !FROM.includes(each));
  if (unknown !== undefined) {
    throw new UsageError(`--from: expected some of ${FROM.join(", ")}, got ${JSON.stringify(unknown)}`);
  }
  const since = timeOption(values["since"], "since") ?? new Date(0);
  const limit = Number(values["limit"] ?? Number.MAX_SAFE_INTEGER);
  if (!Number.isInteger(limit) || limit < 1) {
    throw new UsageError(`--limit: expected a whole number above 0, got ${JSON.stringify(values["limit"])}`);
  }
  const apart = values["held-out"] !== undefined || values["without-held-out"] !== undefined;
  return { from: new Set(from), since, limit, apart, belongs: belongsOf(values) };
}

function belongsOf(values: Arguments["values"]): Choice["belongs"] {
  const [without, only] = [values["without-held-out"], values["held-out"]];
  if (without !== undefined && only !== undefined) {
    throw new UsageError("expected one of --without-held-out and --held-out, each with a folder of its own");
  }
  const given = without ?? only;
  if (given === undefined) return () => true;
  const share = Number(given);
  if (!(share > 0 && share < 1)) {
    const name = without === undefined ? "--held-out" : "--without-held-out";
    throw new UsageError(`${name}: expected a number between 0 and 1, got ${JSON.stringify(given)}`);
  }
  return (source) => isHeldOut(source, share) === (only !== undefined);
}

/** The origins whose labels are all exported. Of a claim that is gone the photo was replaced, which says nothing against it. */
function wholeOf({ from, since, limit }: Choice): Origin[] {
  const all = since.valueOf() <= 0 && limit === Number.MAX_SAFE_INTEGER;
  return all && from.has("moderators") && from.has("audit") ? ["moderator", "audit"] : [];
}

/** The photos to export, the most trusted first, so that a limit leaves out claims before it leaves out reviews. */
async function* labelled(
  db: Pool,
  { from, since, limit, belongs }: Choice,
  knownFromKey: ReturnType<typeof createKeyTemplate>,
  seen: Seen,
): AsyncGenerator<LabelledPhoto> {
  let left = limit;
  for await (const page of pages(db, from, since)) {
    for (const each of page) {
      // one that was judged before workers knew the template
      const photo = { ...each, listing: each.listing ?? knownFromKey(each.key).listing ?? null };
      const label = labelOf(photo);
      const asked = !label || belongs(label.source);
      if (asked && left-- === 0) return;
      if (label) {
        seen.labels++;
        if (photo.listing === null) seen.withoutListing++;
        (asked ? seen.sources : seen.others).add(label.source);
      }
      yield photo;
    }
  }
  seen.all = since.valueOf() <= 0;
}

async function* pages(db: Pool, from: ReadonlySet<string>, since: Date): AsyncGenerator<LabelledPhoto[]> {
  const [moderators, audit] = [from.has("moderators"), from.has("audit")];
  if (moderators || audit) yield* reviewedPhotos(db, { since, ...(moderators !== audit && { audit }) });
  if (from.has("claims")) yield* claimedPhotos(db, { since });
}

async function count(photos: AsyncIterable<LabelledPhoto>, { belongs }: Choice): Promise<Exported> {
  const none = {
    labels: 0,
    fetched: 0,
    present: 0,
    unusable: 0,
    takenBack: 0,
    leftOut: 0,
  };
  const done: Exported = { ...none, origins: {}, missing: [] };
  for await (const photo of photos) {
    const label = labelOf(photo);
    if (!label) {
      done.unusable++;
      continue;
    }
    if (!belongs(label.source)) {
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
  chosen: Choice,
  config: Config,
  scope: Scope,
  terminal: Terminal,
): Promise<Exported> {
  let line = "";
  const draw = (): void => terminal.say(terminal.columns > 0 ? `\r${line}\x1b[K` : `${line}\n`);
  const timer = setInterval(() => line && draw(), terminal.columns > 0 ? 100 : 5_000);
  scope.onClose("progress", () => clearInterval(timer));
  const deps: ExportDeps = {
    load: openLoad(config, scope),
    withoutReview: (ids) => photosWithoutReview(db, ids),
    pause: (tries) => sleep(config.backoffMs * 2 ** (tries - 1)),
    progress: ({ labels, fetched, missing }) => {
      line = `${counted(labels, "label")}, ${counted(fetched, "photo")} fetched, ${missing.length} not to be had`;
    },
  };
  try {
    return await writeLabels(deps, photos, folder, {
      width: WIDTH,
      attempts: config.attempts,
      whole: wholeOf(chosen),
      belongs: chosen.belongs,
    });
  } finally {
    clearInterval(timer);
    if (terminal.columns > 0) terminal.say("\r\x1b[K");
  }
}

/** Fetches as a worker does, and makes the photo small. */
function openLoad(config: Config, scope: Scope): ExportDeps["load"] {
  restrictSharp();
  const s3 = connectS3(config, WIDTH);
  scope.onClose("S3", () => s3.destroy());
  const folders = config.folders.split(delimiter).filter(Boolean);
  const fetch = createFetch({
    s3: createS3Fetch(s3),
    ...(folders.length > 0 && { folder: createFolderFetch(folders.map((folder) => resolve(folder))) }),
  });
  const heic = scope.hold("heic", openPictureHeic());
  const limits = { maxBytes: config.maxBytes, timeoutMs: config.fetchTimeoutMs };
  return async (photo) => {
    const { bytes } = await fetch(photo, limits);
    return shrink(bytes, { side: LONG_SIDE, maxPixels: config.maxPixels }, heic.decode);
  };
}

function warningsOf({ labels, withoutListing, sources, others, all }: Seen, { apart }: Choice): string[] {
  const warnings: string[] = [];
  if (withoutListing > 0) {
    const few = `${withoutListing} of ${counted(labels, "label")} have no listing`;
    const then = "their source is the folder of their key, and one restaurant may be in several";
    warnings.push(`${few}: ${then}; set MAITRED_KEY_TEMPLATE where keys name the listing`);
  }
  // where only a part was looked at, as by --since, a folder has more than this run tells of
  if (!apart || !all || labels === 0 || Math.min(sources.size, others.size) >= FEW_SOURCES) return warnings;
  const [one, ...more] = [...sources, ...others];
  const few =
    more.length === 0
      ? `all photos are of one source, ${one}, so that ${sources.size === 0 ? "this folder" : "the folder of the others"} has none`
      : `too few sources: ${sources.size} for this folder, ${others.size} for that of the others, and photos of one source are alike`;
  const then =
    withoutListing > 0 ? "give listings with the upload" : "label photos of more, or give both another share";
  return [...warnings, `${few}: ${then}`];
}

function summary(done: Exported, dryRun: boolean, folder: string): string {
  const origins = Object.entries(done.origins).map(([origin, photos]) => `${photos} by ${origin}`);
  const parts = [`${counted(done.labels, "label")}${origins.length > 0 ? ` (${origins.join(", ")})` : ""}`];
  if (!dryRun) parts.push(`${counted(done.fetched, "photo")} fetched, ${done.present} there already`);
  if (done.takenBack > 0) parts.push(`${done.takenBack} of before were taken back`);
  if (done.leftOut > 0) parts.push(`${done.leftOut} of sources that are left out`);
  if (done.unusable > 0) parts.push(`${done.unusable} said nothing that training knows`);
  if (done.missing.length > 0) parts.push(`${done.missing.length} not to be had`);
  return `${parts.join("; ")}${dryRun ? "" : `; ${join(folder, "labels.jsonl")}`}`;
}

const FROM = ["moderators", "claims", "audit"];
/** Pixels: twice what the largest model reads, so that training can crop. */
const LONG_SIDE = 512;
/** Photos in hand at once. */
const WIDTH = 16;
