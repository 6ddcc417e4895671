/** Part of processes: where in a photo the model in use sees a human, asked now and then. */
import type { Config } from "../config.ts";
import { seesNobody } from "../decide/decide.ts";
import { ConfigError, UpstreamError } from "../errors.ts";
import { onSheet } from "../image/peak.ts";
import { openModelById } from "../infer/folders.ts";
import type { Explained } from "../infer/infer.ts";
import type { Model } from "../infer/model.ts";
import type { Scope } from "../lifecycle.ts";
import { combineFrames } from "../moderate/frames.ts";
import type { ModelRef } from "../moderate/model-watcher.ts";
import { createPriorityLimiter } from "../moderate/priority-limiter.ts";
import { type Judge, modelDirectories, openDefaultModel, openJudge } from "./judge.ts";

export interface ExplainedPhoto extends Explained {
  /** Whether the policy takes the scores for nobody. */
  nobody: boolean;
}

/**
 * Opens the model in a thread of its own when it is first asked, which takes seconds, and closes it once nobody has asked
 * for ten minutes. It runs one photo at a time, on one core, and gives way to everything else.
 *
 * @param active the model that is active, unless MAITRED_MODEL names one; undefined: the one that ships.
 * @returns what is said of a photo; of one of several views the map is that of its sheet. It throws {ConfigError} where the
 * model cannot be had, or says nowhere.
 */
export function openExplainer(
  config: Config,
  scope: Scope,
  active: () => Promise<ModelRef | undefined>,
): (bytes: Uint8Array) => Promise<ExplainedPhoto> {
  const one = createPriorityLimiter(1);
  let opened: Judge | undefined;
  let idle: NodeJS.Timeout | undefined;

  function model(wanted: ModelRef | undefined): Promise<Model> {
    if (!wanted) return openDefaultModel(config);
    return openModelById(modelDirectories(config), wanted, config.variant);
  }

  async function open(wanted: ModelRef | undefined): Promise<Judge> {
    const judge = await openJudge(config, await model(wanted), { background: true });
    try {
      const { maps, variant } = await judge.inference.ready();
      if (maps) return judge;
      throw new ConfigError(`${judge.model.id} ${variant}: expected an output human_map`);
    } catch (error) {
      await judge.close();
      throw error;
    }
  }

  async function close(): Promise<void> {
    const judge = opened;
    opened = undefined;
    clearTimeout(idle);
    await judge?.close();
  }

  // what runs must end first: a process that ends inside of a model run is aborted
  scope.onClose("explainer", () => one("live", close));
  return (bytes) =>
    one("live", async () => {
      if (scope.closing) throw new UpstreamError("CLOSED", "the process is shutting down");
      clearTimeout(idle);
      const wanted = config.model ? undefined : await active();
      // another became active since
      if (wanted && opened && opened.model.id !== wanted.id) await close();
      try {
        opened ??= await open(wanted);
        const explained: Explained[] = [];
        for (const frame of await opened.decode(bytes, (work) => work()))
          explained.push(...(await opened.inference.explain([frame])));
        // laid out as the pictures of the desk are
        const scores = combineFrames(explained.map(({ scores }) => scores));
        return {
          scores,
          nobody: seesNobody(scores.human, opened.policy),
          map: onSheet(explained.map(({ map }) => map)),
        };
      } finally {
        idle = setTimeout(() => void one("live", close).catch(() => {}), IDLE_MS).unref();
      }
    });
}

const IDLE_MS = 600_000;
