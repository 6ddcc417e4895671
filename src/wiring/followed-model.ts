/** Part of a process: the model that a worker judges with, and how it follows the one that is active. */
import type { Config } from "../config.ts";
import { unfitFor } from "../decide/policy.ts";
import { asError, UpstreamError } from "../errors.ts";
import type { Metrics } from "../http/metrics.ts";
import { openModelById } from "../infer/folders.ts";
import type { Model } from "../infer/model.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import {
  createModelWatcher,
  type DesiredModels,
  type ModelRef,
  type ModelWatcher,
} from "../moderate/model-watcher.ts";
import type { ModerationWorker } from "../moderate/worker.ts";
import { listen } from "../store/listen.ts";
import { forgetWorker, readModels, reportWorker } from "../store/models.ts";
import { keepPolicy } from "../store/policies.ts";
import type { Pool } from "../store/pool.ts";
import { modelDirectories, openDefaultModel } from "./judge.ts";
import { asLineModel, type Models, type WarmModel } from "./models.ts";
import { createOutageLogger } from "./servers.ts";

interface FollowedModel {
  readonly current: WarmModel;
  /** MAITRED_MODEL names it, so that it follows nobody. */
  readonly pinned: boolean;
  /** From now on `worker` follows the active model and the shadow; `name` is what it is called where it says what it runs. */
  follow(worker: ModerationWorker, name: string): ModelWatcher;
}

/**
 * Opens the model of MAITRED_MODEL, or the active one, or the one that ships, and waits until it is warm.
 *
 * @throws {ConfigError} where model or policy cannot be used.
 */
export async function openFollowedModel(
  config: Config,
  models: Models,
  { db, metrics, log, scope }: { db: Pool; metrics: Metrics; log: Logger; scope: Scope },
): Promise<FollowedModel> {
  const pinned = config.model !== "";
  const byId = (wanted: ModelRef): Promise<Model> =>
    openModelById(modelDirectories(config), wanted, config.variant);
  const active = pinned ? undefined : (await desiredModels(db)).active;
  let current = await models.open(active ? await byId(active) : await openDefaultModel(config));
  const { policyText, policyId, policy } = current.judge;
  await keepPolicy(db, { id: policyId, yaml: policyText, thresholds: policy.categories });
  announce("the model is warm");

  function announce(message: string): void {
    const { judge, provider, variant, instead, warmUpMs } = current;
    metrics.model({ model: judge.model.id, variant, provider });
    const about = { model: judge.model.id, variant, provider, warmUpMs: Math.round(warmUpMs) };
    log.info({ ...about, ...(pinned && { pinned: "MAITRED_MODEL" }) }, message);
    if (instead) log.warn({ instead }, "CUDA does not run here");
    const unfit = unfitFor(policy, judge.model.id);
    if (unfit) log.warn({ unfit }, "photos are decided on by thresholds of another model");
  }

  async function open(wanted: ModelRef, background: boolean): Promise<WarmModel> {
    const next = await models.open(await byId(wanted), { background, policyText });
    if (background || current.provider === "cpu" || next.provider === "cuda") return next;
    // two models beside each other may be too much for a card that holds either
    await next.close();
    throw new UpstreamError(
      "INFERENCE_UNAVAILABLE",
      `${wanted.id} would run on ${next.provider}: ${next.instead}`,
    );
  }

  let known = "";
  async function report(name: string, problem: string): Promise<void> {
    const { judge, variant, provider } = current;
    const model = judge.model.id;
    const problems = [problem, unfitFor(policy, model)].filter(Boolean).join("; ");
    metrics.modelProblem(problems !== "");
    if (problem !== known && problem)
      log.error({ problem, model }, "a model cannot run, and the one before goes on");
    else if (problem !== known) log.info("every model that is to run does");
    known = problem;
    await reportWorker(db, { worker: name, model, variant, provider, pinned, problem: problems });
  }

  return {
    get current() {
      return current;
    },
    pinned,
    follow(worker, name) {
      // once it has told the last of itself; one that cannot say so is not shown for longer than one that was killed
      scope.onClose("what the worker told", () =>
        forgetWorker(db, name).catch((thrown: unknown) =>
          createOutageLogger(log, "saying that the worker ends")(asError(thrown)),
        ),
      );
      const watcher = createModelWatcher<WarmModel>(
        {
          read: async () => (pinned ? { active: undefined, shadow: undefined } : desiredModels(db)),
          open,
          async replace(next) {
            const before = current.judge.model.id;
            current = next;
            announce(`the model follows ${before}`);
            await worker.replace(asLineModel(next));
            log.info({ model: before }, "the model before is closed");
          },
          async shadow(next, share) {
            await worker.shadow(next && asLineModel(next), share);
            log.info({ model: next?.judge.model.id, share }, next ? "a shadow runs" : "no shadow runs");
          },
          report: (problem) => report(name, problem),
          failed: createOutageLogger(log, "following the active model"),
        },
        { id: current.judge.model.id, sha256: current.judge.model.sha256 },
        FOLLOW_MS,
      );
      scope.hold("models in use", watcher);
      const look = (): void => void watcher.look();
      scope.hold(
        "notices",
        listen(config.databaseUrl, "maitred_models", look, createOutageLogger(log, "Postgres")),
      );
      return watcher;
    },
  };
}

/** What is to run, as Postgres says. */
async function desiredModels(db: Pool): Promise<DesiredModels> {
  const rows = await readModels(db);
  const shadow = rows.find((row) => row.state === "shadow");
  return {
    active: rows.find((row) => row.state === "active"),
    shadow: shadow && { ...shadow, share: shadow.share ?? 0 },
  };
}

/** How often a worker looks which model is active, in case a notice was lost. */
const FOLLOW_MS = 30_000;
