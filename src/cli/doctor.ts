import { opendir } from "node:fs/promises";
import { totalmem } from "node:os";
import { type Config, readConfig } from "../config.ts";
import { unfitFor } from "../decide/policy.ts";
import { asError, ConfigError } from "../errors.ts";
import { foldersOf } from "../image/folder.ts";
import { connectS3 } from "../image/s3.ts";
import { isAbsent, probeBucket } from "../image/s3-bucket.ts";
import { openModelById } from "../infer/folders.ts";
import { LANES } from "../photo.ts";
import { openQueues } from "../queue/queues.ts";
import { openQueueServer, type QueueServer } from "../queue/server.ts";
import { clockAheadS, wrongClock } from "../store/clock.ts";
import { listDestinations } from "../store/destinations.ts";
import { replacedWords } from "../store/lineage.ts";
import { requireSchema, rolesToMake } from "../store/migrate.ts";
import { type ModelRow, readModels, readWorkers, type WorkerRow } from "../store/models.ts";
import { lastReplaced } from "../store/numbers.ts";
import { requireClosed, requireRoom, requireWritable, serverVersion } from "../store/requirements.ts";
import { rollupState } from "../store/rollups.ts";
import { modelDirectories, openJudge } from "../wiring/judge.ts";
import { readLanes } from "../wiring/lanes.ts";
import { defineCommand, EXIT, flags, UsageError, withEmbedded } from "./command.ts";
import { printResult, table } from "./output.ts";
import { pausedWords } from "./paused.ts";
import { counted } from "./plural.ts";
import { withAnyPostgres } from "./postgres.ts";

/** What is found, or with `warning` what may be so on purpose. */
type Check = () => Promise<string | { warning: string }>;

interface Finding {
  check: string;
  ok: boolean;
  /** Somebody may want it so; a lane that is paused, or roles that are not there. */
  warning: boolean;
  /** What was found, or what is wrong and what to do. */
  detail: string;
}

export const doctor = defineCommand({
  help: `
usage: maitred doctor [--bucket NAME]... [--json]

Checks Node, memory, Postgres (version, whether a pooler lends it for one transaction, schema, whether a worker may write, whether its disk has room, whether PUBLIC may create, whether its clock is this
machine's, whether somebody folds the counts that dashboards read, which maitred rollups compares, and whether the roles are there, which is a warning),
the queue's server (Redis: version and eviction policy) and whether a lane is paused, which is a warning, the folders of MAITRED_FOLDERS, the buckets
named (also their versions, where an enabled destination of kind s3-tags has to list them), the policy (that it has the thresholds of this model, as a
warning) and the model's hashes, what workers say is wrong with theirs, also a warning, and runs the model once to see which execution provider really runs.
Changes no photo, job or setting.

  maitred doctor --bucket photos

Exit codes: 0 all is well, or there are warnings alone; 1 something is not.
`,
  options: { bucket: { type: "string", multiple: true }, ...flags("json") },

  async run({ values: { bucket: buckets = [], json } }, terminal) {
    const config = withEmbedded(readConfig(terminal.env));
    if (buckets.some((bucket) => bucket.includes("/")))
      throw new UsageError("--bucket: expected a bucket's name");
    const checks: [string, Check][] = [
      ["node", checkNode],
      ["memory", checkMemory],
      ["postgres", () => checkPostgres(config)],
      ["queue", () => checkQueue(config)],
      ["model", () => checkModel(config)],
      ...(config.databaseUrl ? [["workers", () => checkWorkers(config)] as [string, Check]] : []),
      ...foldersOf(config.folders).map((folder): [string, Check] => [
        `folder ${folder}`,
        () => checkFolder(folder),
      ]),
      ...buckets.map((bucket): [string, Check] => [`bucket ${bucket}`, () => checkBucket(config, bucket)]),
    ];
    const findings: Finding[] = [];
    for (const [check, look] of checks) {
      const finding = await look().then(
        (found) =>
          typeof found === "string"
            ? { check, ok: true, warning: false, detail: found }
            : { check, ok: true, warning: true, detail: found.warning },
        (thrown: unknown) => ({ check, ok: false, warning: false, detail: explain(check, asError(thrown)) }),
      );
      findings.push(finding);
    }
    const rows = findings.map(({ check, ok, warning, detail }) => [
      ok ? (warning ? "warn" : "ok") : "FAIL",
      check,
      detail,
    ]);
    printResult(terminal, json, findings, table(rows));
    return findings.every(({ ok }) => ok) ? EXIT.done : EXIT.notAll;
  },
});

async function checkNode(): Promise<string> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return process.versions.node;
  throw new Error(`expected Node 20.19 or newer, got ${process.versions.node}: install a newer one`);
}

async function checkMemory(): Promise<string> {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  const gib = (bytes / 2 ** 30).toFixed(1);
  if (bytes >= 2 ** 30) return `${gib} GiB${bytes === limit ? " (limit of this container)" : ""}`;
  throw new Error(`expected at least 1 GiB, got ${gib}: raise the container's limit`);
}

async function checkPostgres(config: Config): ReturnType<Check> {
  if (!config.databaseUrl) throw new Error("set DATABASE_URL, or start maitred up, which brings one");
  return withAnyPostgres(config, async (db) => {
    const version = await serverVersion(db);
    await requireWritable(db);
    await requireSchema(db);
    await requireRoom(db);
    await requireClosed(db);
    const wrong = wrongClock(await clockAheadS(db));
    if (wrong) throw new Error(wrong);
    const { built, waiting, foldedAt } = await rollupState(db);
    if (!built) throw new Error("the counts that dashboards read are not complete: run maitred rollups mend");
    if (waiting >= MANY_CHANGES) {
      const since = foldedAt ? `since ${foldedAt.toISOString()}` : "ever";
      throw new Error(
        `nobody has folded the counts that dashboards read ${since}, and more and more changes wait: run maitred worker, api, listen or feed, or maitred rollups fold on a timer`,
      );
    }
    const found = `${version}, schema is current, a worker may write`;
    const replaced = await lastReplaced(db);
    const warnings = [
      await rolesToMake(db),
      replaced && Date.now() - replaced.since.getTime() < TOLD_FOR_MS
        ? `${replaced.since.toISOString()}: ${replacedWords(replaced.sequence)}`
        : undefined,
    ].filter((each) => each !== undefined);
    return warnings.length > 0 ? { warning: [found, ...warnings].join("; ") } : found;
  });
}

async function checkQueue(config: Config): ReturnType<Check> {
  if (!config.queueUrl && !config.queueOptions)
    throw new Error("set MAITRED_QUEUE_URL, or DATABASE_URL to keep it in Postgres");
  const server = openQueueServer(config, () => {});
  try {
    const found = `${await server.check()}${server.kind === "redis" ? ", noeviction" : ""}`;
    const paused = await pausedLanes(config, server);
    return paused.length === 0 ? found : { warning: [found, ...paused].join("; ") };
  } finally {
    await server.close();
  }
}

/** A sentence of each. Who did it only Postgres knows, and what is wrong with that is a finding of its own. */
async function pausedLanes(config: Config, server: QueueServer): Promise<string[]> {
  const queues = openQueues(server, () => {});
  try {
    const depths = await Promise.all(LANES.map((lane) => queues.depth(lane)));
    const paused = LANES.filter((_, index) => depths[index]!.paused);
    if (paused.length === 0) return [];
    const known = await withAnyPostgres(config, (db) => readLanes({ db, queues })).catch(() => []);
    return paused.map((lane) => {
      const state = known.find((each) => each.lane === lane);
      const how = state?.paused ? pausedWords(state) : "paused";
      return `the lane ${lane} is ${how}; maitred queue resume ${lane} ends it`;
    });
  } finally {
    await queues.close();
  }
}

async function checkModel(config: Config): ReturnType<Check> {
  const active = config.model ? undefined : await activeModel(config);
  const model = active && (await openModelById(modelDirectories(config), active, config.variant));
  const judge = await openJudge(config, model);
  try {
    const { provider, variant, instead, warmUpMs } = await judge.inference.ready();
    const why = instead && `; the GPU is not used: ${instead}`;
    const from = config.model ? "of MAITRED_MODEL" : active ? "the active one" : "the one that ships";
    const found = `${judge.model.id} (${from}), hashes match, warm after ${Math.round(warmUpMs)} ms, its variant ${variant} runs on ${provider}${why}`;
    const unfit = unfitFor(judge.policy, judge.model.id);
    return unfit ? { warning: `${found}; ${unfit}` } : found;
  } finally {
    await judge.close();
  }
}

/** undefined where none is, or where Postgres cannot say, which is a finding of its own. */
async function activeModel(config: Config): Promise<ModelRow | undefined> {
  if (!config.databaseUrl) return undefined;
  const models = await withAnyPostgres(config, readModels).catch((): ModelRow[] => []);
  return models.find(({ state }) => state === "active");
}

/** What workers say of themselves: each has its own models and its own policy. That Postgres cannot say it is a finding of its own. */
async function checkWorkers(config: Config): ReturnType<Check> {
  const workers = await withAnyPostgres(config, readWorkers).catch((): WorkerRow[] => []);
  const ill = workers.filter(({ problem }) => problem).map(({ worker, problem }) => `${worker}: ${problem}`);
  const models = [...new Set(workers.map(({ model }) => model))].join(", ");
  if (ill.length > 0) return { warning: ill.join("; ") };
  return workers.length === 0 ? "none runs" : `${counted(workers.length, "worker")} of ${models}`;
}

async function checkFolder(folder: string): Promise<string> {
  try {
    await (await opendir(folder)).close();
    return "can be read";
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new Error(`${NO_FOLDER[code] ?? code}: mend MAITRED_FOLDERS`, { cause });
  }
}

async function checkBucket(config: Config, bucket: string): Promise<string> {
  const s3 = connectS3(config, 1, 1, config.fetchTimeoutMs);
  try {
    if (await isAbsent(s3, bucket))
      throw new Error("there is no such bucket: check its name and MAITRED_S3_ENDPOINT");
    return await probeBucket(s3, bucket, await isTagged(config, bucket), config.fetchTimeoutMs);
  } finally {
    s3.destroy();
  }
}

/** False too where Postgres cannot say, which is a finding of its own. */
async function isTagged(config: Config, bucket: string): Promise<boolean> {
  if (!config.databaseUrl) return false;
  const destinations = await withAnyPostgres(config, listDestinations).catch(() => []);
  return destinations.some(
    (each) => each.kind === "s3-tags" && each.enabled && (each.bucket ?? bucket) === bucket,
  );
}

/** What is wrong; and where the error does not say so itself, what to do. */
function explain(check: string, error: Error): string {
  if (error instanceof ConfigError) return error.message;
  const code = (error as { code?: unknown }).code;
  const hint = Object.entries(HINTS).find(([start]) => check.startsWith(start))?.[1];
  const known = error.name === "Error" && code === undefined;
  return `${error.message || String(code)}${hint && !known ? `: ${hint}` : ""}`;
}

/** What views add in some hundred milliseconds; with somebody who folds it takes ten seconds of 50,000 photos each. */
const MANY_CHANGES = 500_000;
/** After that whoever had to know does: nobody has to say so. */
const TOLD_FOR_MS = 7 * 86_400_000;
const NO_FOLDER: Record<string, string> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "expected a folder, got a file",
  EACCES: "this account may not read it",
};
const HINTS: Record<string, string> = {
  postgres: "check DATABASE_URL, and that Postgres runs and lets this role in",
  bucket: "check MAITRED_S3_ENDPOINT and the AWS credentials; a worker needs s3:ListBucket and s3:GetObject",
};
