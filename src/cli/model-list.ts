import { type Config, readConfig } from "../config.ts";
import { asError } from "../errors.ts";
import { listModels, openModelById } from "../infer/folders.ts";
import {
  type ModelRow,
  type Promotion,
  readModels,
  readPromotions,
  readWorkers,
  type WorkerReport,
} from "../store/models.ts";
import type { Pool } from "../store/pool.ts";
import { modelDirectories, openShippedModel } from "../wiring/judge.ts";
import { EXIT, withEmbedded } from "./command.ts";
import type { ModelCommand } from "./model-command.ts";
import { printResult, table } from "./output.ts";
import { withPostgres } from "./postgres.ts";

/** One line of the list: a folder, a row, or both. */
interface Listed {
  id: string;
  /** `default` is what workers run while none is active; "" is a folder that nobody registered. */
  state: ModelRow["state"] | "default" | "";
  share: number | null;
  folder: string | null;
  variants: string[];
  bytes: number;
  measured: unknown;
  /** Why it cannot be used here; "" if it can. */
  problem: string;
}

export const list: ModelCommand = async ({ values }, terminal) => {
  const settings = withEmbedded(readConfig(terminal.env));
  const known = settings.databaseUrl
    ? await withPostgres(settings, readAll)
    : { rows: [], workers: [], history: [] };
  if (!settings.databaseUrl) terminal.say("no DATABASE_URL: these are the folders alone\n");
  const models = await gather(settings, known.rows);
  const { workers, history } = known;
  const lines = printed(models, workers, history);
  printResult(terminal, values.json, { models, workers, history }, lines);
  const broken = models.some(({ state, problem }) => problem && state !== "" && state !== "retired");
  return broken || workers.some(({ problem }) => problem) ? EXIT.notAll : EXIT.done;
};

async function readAll(
  db: Pool,
): Promise<{ rows: ModelRow[]; workers: WorkerReport[]; history: Promotion[] }> {
  return { rows: await readModels(db), workers: await readWorkers(db), history: await readPromotions(db) };
}

async function gather(config: Config, rows: readonly ModelRow[]): Promise<Listed[]> {
  const directories = modelDirectories(config);
  const folders = listModels(directories);
  const fallback = rows.some(({ state }) => state === "active") ? "" : (await openShippedModel(config)).id;
  const ids = [...new Set([...rows.map(({ id }) => id), ...folders.keys()])].sort();
  return Promise.all(
    ids.map(async (id): Promise<Listed> => {
      const row = rows.find((each) => each.id === id);
      const about = {
        id,
        state: id === fallback ? "default" : (row?.state ?? ""),
        share: row?.share ?? null,
        folder: folders.get(id) ?? null,
      } as const;
      try {
        const model = await openModelById(directories, { id, sha256: row?.sha256 ?? "" }, "auto");
        const variants = model.variants.map(({ variant }) => variant);
        return { ...about, variants, bytes: model.bytes, measured: model.measured, problem: "" };
      } catch (thrown) {
        const measured = row?.measured ?? null;
        return { ...about, variants: [], bytes: 0, measured, problem: asError(thrown).message };
      }
    }),
  );
}

function printed(
  models: readonly Listed[],
  workers: readonly WorkerReport[],
  history: readonly Promotion[],
): string[] {
  const rows = models.map(({ id, state, share, variants, bytes, measured, problem }) => [
    state === "active" || state === "default" ? "*" : " ",
    id,
    share === null ? state || "-" : `${state} ${share}`,
    figure(measured, "categoryAccuracy"),
    figure(measured, "macroF1"),
    figure(measured, "humanAveragePrecision"),
    bytes ? `${(bytes / 1e6).toFixed(1)} MB` : "-",
    problem || variants.join(", "),
  ]);
  const lines = table([
    ["", "model", "state", "accuracy", "macro-F1", "human AP", "size", "variants"],
    ...rows,
  ]);
  for (const { id, measured } of models) {
    const of = measuredOf(measured);
    if (of) lines.push(`  ${id}: its figures are those of ${of}`);
  }
  if (workers.length > 0)
    lines.push("", ...table([["worker", "runs", "on", "problem"], ...workers.map(asRow)]));
  const changes = history.slice(0, 5).map(({ at, kind, from, to, by, why }) => {
    return [at.toISOString().slice(0, 16).replace("T", " "), kind, `${from ?? "-"} -> ${to}`, by, why];
  });
  if (changes.length > 0) lines.push("", ...table([["when", "what", "models", "who", "why"], ...changes]));
  return lines;
}

function asRow({ worker, model, variant, provider, pinned, problem }: WorkerReport): string[] {
  return [worker, `${model} ${variant}${pinned ? " (MAITRED_MODEL)" : ""}`, provider, problem];
}

/** Which model was measured, where it was another one. */
function measuredOf(measured: unknown): string {
  const of = (measured as Record<string, unknown> | null)?.["of"];
  return typeof of === "string" ? of : "";
}

/** A number of `measured`, which is whatever model.json says; training says value, low and high. */
function figure(measured: unknown, name: string): string {
  const [value] = [(measured as Record<string, unknown> | null)?.[name]].flat();
  return typeof value === "number" ? value.toFixed(3) : "-";
}
