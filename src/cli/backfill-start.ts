import { isAbsolute, resolve } from "node:path";
import { parseHours } from "../backfill/hours.ts";
import { blockedReason } from "../backfill/progress.ts";
import { parseRendition } from "../backfill/rendition.ts";
import { describe, type FedSelector, type PhotoSelector, VIEW } from "../backfill/selector.ts";
import { listModels } from "../infer/folders.ts";
import { addBackfill } from "../store/backfills.ts";
import { readModels, readWorkers } from "../store/models.ts";
import type { Pool } from "../store/pool.ts";
import { lastPhotoId } from "../store/selected-photos.ts";
import { modelDirectories, openDefaultModel } from "../wiring/judge.ts";
import { type BackfillCommand, type options, theBackfill } from "./backfill-command.ts";
import { estimate } from "./backfill-estimate.ts";
import { lookAt, lookForRenditions } from "./backfill-look.ts";
import { follow } from "./backfill-report.ts";
import { bucketUrl, isPrefix } from "./bucket-url.ts";
import { closest } from "./closest.ts";
import { connectedConfig, EXIT, type Terminal, UsageError, type Values } from "./command.ts";
import {
  accountOption,
  between,
  codeOption,
  numberOption,
  timeOption,
  uploaderOption,
  whole,
} from "./options.ts";
import { printResult } from "./output.ts";

type Given = Values<typeof options>;

export const start: BackfillCommand = async (rest, values, terminal) => {
  const chosen = selectorOf(rest, values);
  const maxRate = numberOption(values, "max-rate", between(0.01, 1e6)) ?? null;
  const expected = numberOption(values, "expect", whole(1, 1e15)) ?? null;
  const { again, propose, unchecked, json, hours = null } = values;
  if (hours !== null) parseHours(hours);
  const rendition = values["rendition-template"] ?? null;
  if (rendition !== null) parseRendition(rendition);
  // a mistake that can be told without Postgres is told without it
  const looks = !unchecked && !values["dry-run"];
  const isHere = chosen.kind === "manifest" && isAbsolute(chosen.at);
  if (looks && isHere) await lookAt(chosen, terminal);
  return async (db) => {
    const what = chosen.kind === "photos" ? { ...chosen, upTo: await lastPhotoId(db) } : chosen;
    const model = `model:${await modelOf(values.model, db, terminal)}`;
    if (rendition !== null && !unchecked) await lookForRenditions(rendition, terminal);
    if (values["dry-run"])
      return estimate(db, { what, model, again, maxRate, hours, rendition }, json, terminal);
    if (looks && !isHere) await lookAt(what, terminal, db);
    const how = { again, propose, maxRate, hours, rendition, expected };
    const id = await addBackfill(db, { what, model, ...how, startedBy: accountOption(values) });
    printResult(terminal, json, { id, what }, `backfill ${id} begins: ${describe(what)}`);
    if (values.watch) return follow(db, id, terminal, json);
    // it has begun, whatever becomes of this
    const held = await theBackfill(db, id).then(
      (run) => blockedReason(run, new Date()),
      () => undefined,
    );
    terminal.say(`${held ? `it ${held}\n` : ""}maitred backfill status ${id} --watch shows how it goes\n`);
    return EXIT.done;
  };
};

/** Photos in Postgres are those that it knows by then. */
function selectorOf(
  [what, ...more]: readonly string[],
  values: Given,
): Exclude<FedSelector, PhotoSelector> | Omit<PhotoSelector, "upTo"> {
  const { view, bucket } = values;
  const choices = CHOICES.filter((name) => values[name]).map((name) => `--${name}`);
  const [one, other] = [
    ...(what === undefined ? [] : [what]),
    ...(view === undefined ? [] : ["--view"]),
    ...choices.slice(0, 1),
  ];
  if (more.length > 0) throw new UsageError(`expected one of them, got ${[what, ...more].join(" and ")}`);
  if (other !== undefined) throw new UsageError(`expected ${one} or ${other}, not both`);
  if (one === undefined) {
    throw new UsageError(
      "expected one of s3://bucket/prefix/, a manifest, --view, or a choice of photos such as --missing",
    );
  }
  const url = bucketUrl(what ?? "");
  const prefix = url && isPrefix(url.key) ? url : undefined;
  if (bucket !== undefined && (what === undefined || prefix))
    throw new UsageError("--bucket: expected a manifest beside it, whose lines may name none");
  if (choices.length > 0) return photoFilters(values);
  if (view !== undefined) {
    if (VIEW.test(view)) return { kind: "view", view };
    throw new UsageError(
      `--view: expected NAME or SCHEMA.NAME of letters, digits and _, without quotes, got ${JSON.stringify(view)}`,
    );
  }
  if (prefix) return { kind: "prefix", bucket: prefix.bucket, prefix: prefix.key };
  if (!/\.(csv|jsonl|ndjson)(\.gz)?$|\.json$/.test(what!)) {
    throw new UsageError(
      `${what}: expected a prefix with its slash, or a manifest: .csv, .jsonl, .ndjson, manifest.json`,
    );
  }
  const at = url || isAbsolute(what!) ? what! : resolve(what!);
  return { kind: "manifest", at, ...(bucket !== undefined && { bucket }) };
}

function photoFilters(values: Given): Omit<PhotoSelector, "upTo"> {
  const { missing, failed, listing } = values;
  if (missing && failed) throw new UsageError("expected --missing or --failed, not both");
  if (values.code !== undefined && !failed) throw new UsageError("--code: expected --failed beside it");
  const below = numberOption(values, "below", between(0, 1));
  const [since, until] = (["since", "until"] as const).map((name) => timeOption(values, name)?.toISOString());
  if (since && until && since >= until) throw new UsageError("--until: expected a time after --since");
  const code = codeOption(values);
  const uploader = uploaderOption(values);
  const filters = {
    ...(missing && { state: "pending" as const }),
    ...(failed && { state: "failed" as const }),
    ...(code !== undefined && { code }),
    ...(values["older-model"] && { olderModel: true }),
    ...(below !== undefined && { below }),
    ...(since && { since }),
    ...(until && { until }),
    ...(listing !== undefined && { listing }),
    ...(uploader && { uploader }),
  };
  const beside = CHOICES.find((name) => name !== "all" && values[name]);
  if (values.all && beside) {
    throw new UsageError(`expected --all or a choice such as --${beside}, not both`);
  }
  return { kind: "photos", ...filters };
}

/**
 * The model that workers run, which is the active one, or what they run where none is; unless another is named. One that nobody
 * knows would never decide a photo, and each run would judge all of them again.
 */
export async function modelOf(given: string | undefined, db: Pool, terminal: Terminal): Promise<string> {
  const models = await readModels(db);
  const config = connectedConfig(terminal);
  const active = models.find(({ state }) => state === "active")?.id ?? (await openDefaultModel(config)).id;
  const named = given ?? active;
  const running = (await readWorkers(db)).map(({ model }) => model);
  const folders = listModels(modelDirectories(config)).keys();
  const known = [...new Set([active, ...models.map(({ id }) => id), ...running, ...folders])].sort();
  if (known.includes(named)) return named;
  throw new UsageError(
    `--model: expected one of ${known.join(", ")}, got ${JSON.stringify(named)}${closest(named, known)}`,
  );
}

/** Options that choose among the photos in Postgres. */
const CHOICES = [
  "missing",
  "failed",
  "code",
  "older-model",
  "below",
  "since",
  "until",
  "listing",
  "uploader",
  "all",
] as const;
