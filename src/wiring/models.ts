/** The judges that a worker has open: the one that judges, those that come and go, and the shadow. */
import type { Config } from "../config.ts";
import { decide } from "../decide/decide.ts";
import { UpstreamError } from "../errors.ts";
import type { InferReady } from "../infer/infer.ts";
import type { Model } from "../infer/model.ts";
import { watchInference } from "../infer/watch.ts";
import type { Closable, Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import type { LineModel } from "../moderate/line.ts";
import { hasDigests } from "../store/indexes.ts";
import { readModels } from "../store/models.ts";
import type { Pool } from "../store/pool.ts";
import { type Judge, openJudge } from "./judge.ts";
import type { WorkerObserver } from "./worker-observer.ts";

/** A judge that is warm, and what it said when it was. */
export interface WarmModel extends InferReady, Closable {
  judge: Judge;
}

export interface Models {
  /** See `openJudge`. */
  open(model: Model, how?: { background: boolean; policyText: string }): Promise<WarmModel>;
  /** See `Judge`; of all that are open. */
  refuseWaiting(): void;
  /** See `Inference`; of all that are open. */
  oldest(): unknown;
  abandon(): void;
}

/** @param scope closes what is still open. */
export function createModels(config: Config, scope: Scope): Models {
  const judges = new Set<Judge>();
  const each = async (work: (judge: Judge) => Promise<void>): Promise<void> => {
    await Promise.all([...judges].map(work));
  };
  scope.hold("models", {
    halt: () => each((judge) => judge.halt()),
    close: () => each((judge) => judge.close()),
  });
  return {
    async open(model, how) {
      const judge = await openJudge(config, model, how);
      judges.add(judge);
      const close = async (): Promise<void> => {
        await judge.close();
        judges.delete(judge);
      };
      try {
        // its threads would start when nothing is left to end them
        if (scope.closing) throw new UpstreamError("CLOSED", "the process is shutting down");
        return { judge, ...(await judge.inference.ready()), close };
      } catch (error) {
        await close();
        throw error;
      }
    },
    refuseWaiting() {
      for (const judge of judges) judge.refuseWaiting();
    },
    oldest: () => [...judges].map(({ inference }) => inference.oldest).find((run) => run !== undefined),
    abandon() {
      for (const { inference } of judges) inference.abandon();
    },
  };
}

export function asLineModel({ judge, provider, close }: WarmModel): LineModel {
  return {
    by: `model:${judge.model.id}`,
    provider,
    side: judge.model.side,
    maxBatch: judge.inference.maxBatch,
    threads: judge.inference.threads,
    decode: judge.decode,
    run: judge.inference.run,
    decide: (scores) => decide(scores, judge.policy),
    close,
  };
}

/** Whether what history has under this model's name is of this model; else the log says why not. */
export async function isAsRegistered(
  db: Pool,
  log: Logger,
  { id, sha256 }: Pick<Model, "id" | "sha256">,
  pinned: boolean,
): Promise<boolean> {
  // one that is tried may be made anew under its name
  if (pinned && !(await readModels(db)).some((row) => row.id === id && row.sha256 === sha256)) {
    log.warn(
      { model: id },
      "MAITRED_MODEL is not registered as it is, so each photo is judged: maitred model shadow",
    );
    return false;
  }
  return true;
}

/** Whether history says quickly which bytes were judged; else the log says why not. */
export async function findsDigests(db: Pool, log: Logger): Promise<boolean> {
  const quick = await hasDigests(db);
  if (!quick)
    log.warn("the index verdicts_digest is not built, so each photo is judged: run maitred migrate");
  return quick;
}

/** Ends the process, so that it is started again, where its models will not come back by themselves. */
export function watchModelHealth(
  { oldest, abandon }: Models,
  { failedTries }: WorkerObserver,
  warmUpMs: number,
  log: Logger,
): Closable {
  // a large batch on a slow CPU takes long, and of it the warm-up was one run
  const patienceMs = Math.max(LEAST_PATIENCE_MS, 10 * warmUpMs);
  return watchInference({ oldest, failedTries }, patienceMs, (why) => {
    log.fatal({ why }, "this worker cannot judge any more and ends, so that it is started again");
    abandon();
    process.exitCode = 1;
    process.kill(process.pid, "SIGTERM");
  });
}

const LEAST_PATIENCE_MS = 60_000;
