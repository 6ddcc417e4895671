import { ConfigError } from "../errors.ts";
import { connection, type Pool, query, refused } from "./pool.ts";

type ModelState = "candidate" | "shadow" | "active" | "retired";

export interface ModelRow {
  id: string;
  state: ModelState;
  /** Of its model.json. */
  sha256: string;
  measured: unknown;
  /** Of the live photos, 0 to 1; null unless it is the shadow. */
  share: number | null;
}

/** Every registered model, in the order of their ids. */
export async function readModels(db: Pool): Promise<ModelRow[]> {
  return query<ModelRow>(db, {
    name: "read_models",
    text: "select id, state, sha256, measured, share from models order by id",
  });
}

/**
 * Makes a model known as a candidate; see register_model. Doing it again changes nothing.
 *
 * @throws {ConfigError} when the id belongs to another model.json.
 */
export async function registerModel(
  db: Pool,
  { id, sha256, measured }: Pick<ModelRow, "id" | "sha256" | "measured">,
  by: string,
): Promise<void> {
  const values = [id, sha256, JSON.stringify(measured), by];
  await query(db, { name: "register_model", text: "select register_model($1, $2, $3, $4)", values }).catch(
    refused,
  );
}

export interface Promotion {
  kind: "promote" | "rollback";
  from: string | null;
  to: string;
  by: string;
  why: string;
  /** How both judged the gold set; null where they were not measured. */
  figures: unknown;
  at: Date;
}

/**
 * Makes a registered model the active one; see promote_model.
 *
 * @throws {ConfigError} when it is active already, or `from` is not the active one any more.
 */
export async function promoteModel(db: Pool, promotion: Omit<Promotion, "kind" | "at">): Promise<void> {
  const { to, from, by, why, figures } = promotion;
  const values = [to, from, by, why, figures === null ? null : JSON.stringify(figures)];
  await query(db, { name: "promote_model", text: "select promote_model($1, $2, $3, $4, $5)", values }).catch(
    refused,
  );
}

/**
 * Returns to the model before the active one, whose id it answers; see rollback_model.
 *
 * @param from the one that is to be active still, null where none is: of two who go back at once the second is refused.
 * @throws {ConfigError} when another is, or there is none before it.
 */
export async function rollbackModel(
  db: Pool,
  { from, by, why }: { from: string | null; by: string; why: string },
): Promise<string> {
  return connection(db, async (client) => {
    await client.query("begin");
    await client.query("lock table models in share row exclusive mode");
    const active = (await client.query("select id from models where state = 'active'")).rows[0]?.id ?? null;
    if (active !== from) {
      const message = `${active ?? "no model"} is active, not ${from}: maitred model list says who changed it`;
      throw new ConfigError(message);
    }
    const { rows } = await client.query("select rollback_model($1, $2) as id", [by, why]);
    await client.query("commit");
    return rows[0].id as string;
  }).catch(refused);
}

/** Every change of the active model, latest first. */
export async function readPromotions(db: Pool): Promise<Promotion[]> {
  return query<Promotion>(db, {
    name: "read_promotions",
    text: `select kind, from_model as "from", to_model as "to", by, why, figures, at from promotions order by id desc`,
  });
}

/**
 * Lets a registered model be the shadow, of a share of the live photos; null ends it. See shadow_model.
 *
 * @throws {ConfigError} when it is the active one.
 */
export async function shadowModel(db: Pool, id: string, share: number | null): Promise<void> {
  await query(db, { name: "shadow_model", text: "select shadow_model($1, $2)", values: [id, share] }).catch(
    refused,
  );
}

export interface WorkerReport {
  /** Names the worker among all. */
  worker: string;
  model: string;
  variant: string;
  provider: string;
  /** Whether it keeps to MAITRED_MODEL, whichever is active. */
  pinned: boolean;
  /** Why it does not run what it is to run; "" if it does. */
  problem: string;
}

export async function reportWorker(db: Pool, report: WorkerReport): Promise<void> {
  const { worker, model, variant, provider, pinned, problem } = report;
  await query(db, {
    name: "report_worker",
    text: "select report_worker($1, $2, $3, $4, $5, $6)",
    values: [worker, model, variant, provider, pinned, problem],
  });
}

/** Says what a worker did of late; see report_worker. One that has not reported yet has no row. */
export async function reportFigures(db: Pool, worker: string, figures: object): Promise<void> {
  await query(db, {
    name: "report_figures",
    text: "update model_workers set figures = $2, seen_at = now() where worker = $1",
    values: [worker, JSON.stringify(figures)],
  });
}

export async function forgetWorker(db: Pool, worker: string): Promise<void> {
  await query(db, {
    name: "forget_worker",
    text: "delete from model_workers where worker = $1",
    values: [worker],
  });
}

export interface WorkerRow extends WorkerReport {
  seenAt: Date;
  /** What it did of late, as its own version says it; null until it has. */
  figures: unknown;
}

/** What the workers run, and did, that have said so within the last two minutes. */
export async function readWorkers(db: Pool): Promise<WorkerRow[]> {
  return query<WorkerRow>(db, {
    name: "read_workers",
    text: `select worker, model, variant, provider, pinned, problem, seen_at as "seenAt", figures
        from model_workers m where ${ALIVE} order by worker`,
  });
}

/** Of a row `m` of model_workers. */
export const ALIVE = "m.seen_at > now() - interval '2 minutes'";
